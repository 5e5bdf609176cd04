"""The page "Fidelity" names tests that exist, and the pages link to files that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
_HEAD = ["the vendor states", "the agent in a box", "shown by"]


def _rows() -> list[list[str]]:
    """Return the cells of every row below a heading of the table."""
    lines = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8").splitlines()
    tables = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    return [cells for cells in tables if cells != _HEAD and set(cells[0]) - set("-|")]


@cache
def _tests_in(file: str) -> frozenset[str]:
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_row_names_tests_that_exist() -> None:
    """A row without a test, or with one that was renamed, is an empty claim."""
    missing = []
    for statement, behaviour, tests in _rows():
        named = _TEST.findall(tests)
        assert behaviour, statement
        assert named, statement
        # Nothing else is in the cell, such as a name that is not quite a test's.
        assert _TEST.sub("", tests).replace("<br>", "").strip() == "", statement
        missing += [f"{file}::{name}" for file, name in named if name not in _tests_in(file)]
    assert missing == []


def test_no_statement_stands_twice() -> None:
    """One row for each."""
    statements = [row[0] for row in _rows()]
    assert len(statements) == len(set(statements)) > 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    """Relative ones are followed; those to other hosts are not."""
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    own = [link for link in links if "://" not in link]
    assert [link for link in own if not (page.parent / link).exists()] == []


def test_assumptions_name_files_that_exist() -> None:
    """The place of each assumption is where the page says."""
    text = (ROOT / "docs" / "assumptions.md").read_text(encoding="utf-8")
    places = set(re.findall(r"`(epm_task/[\w/]+\.py)`", text))
    assert len(places) > 30
    assert [place for place in sorted(places) if not (ROOT / place).is_file()] == []


def test_contributing_names_places_that_exist() -> None:
    """The floors, and the answers to a newcomer's questions, lead somewhere."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    floors = re.findall(r"^\| \d \| (.*?) \|", text, re.MULTILINE)
    places = [f"epm_task/{place}" for row in floors for place in re.findall(r"`(.+?)`", row)]
    places += re.findall(r"`((?:epm_task|tests|templates|benchmarks)/[\w/.]*)`", text)
    assert len(floors) == 11
    assert [place for place in places if not (ROOT / place).exists()] == []
