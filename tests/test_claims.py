"""What the pages claim: each row of a table has its test, and each link and place exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from epm_task.exit_code import AUTHOR_CODES, ExitCode

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
#: The last cell of the tables whose rows have tests.
_SHOWN_BY = "shown by"
_TABLES = {"fidelity.md": 3, "reliability.md": 5}
_NOT_APPLICABLE = "not applicable: "


def _rows(page: str) -> list[list[str]]:
    """Return the cells of every row below a heading of the page's tables."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    tables = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    return [cells for cells in tables if cells[-1] != _SHOWN_BY and set(cells[0]) - set("-|")]


@cache
def _tests_in(file: str) -> frozenset[str]:
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("page", "cells"), _TABLES.items())
def test_every_row_names_tests_that_exist(page: str, cells: int) -> None:
    """A row without a test, or with one that was renamed, is an empty claim."""
    missing = []
    for row in _rows(page):
        assert len(row) == cells, row
        assert all(row), row
        if row[-1].startswith(_NOT_APPLICABLE):
            assert len(row[-1]) > len(_NOT_APPLICABLE) + 20, row
            continue
        named = _TEST.findall(row[-1])
        assert named, row
        # Nothing else is in the cell, such as a name that is not quite a test's.
        assert _TEST.sub("", row[-1]).replace("<br>", "").strip() == "", row
        missing += [f"{file}::{name}" for file, name in named if name not in _tests_in(file)]
    assert missing == []


def test_no_statement_stands_twice() -> None:
    """One row for each."""
    statements = [row[0] for row in _rows("fidelity.md")]
    assert len(statements) == len(set(statements)) > 100


def test_every_fault_and_every_attack_has_its_row() -> None:
    """The numbers are complete, in order, and each stands there once."""
    found = [row[0] for row in _rows("reliability.md")]
    assert found == [f"F{n:02}" for n in range(65)] + [f"A{n}" for n in range(1, 24)]


def test_exit_codes_of_faults_exist() -> None:
    """A code is one of ours, one of an author, or that of a signal; only the rest has none."""
    ours = {*map(int, ExitCode), *AUTHOR_CODES}
    for row in _rows("reliability.md"):
        if row[-1].startswith(_NOT_APPLICABLE):
            assert row[3] == "-", row
            continue
        codes = [int(code) for code in row[3].split(", ")]
        assert all(code in ours or -64 <= code < 0 for code in codes), row


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
    assert len(floors) == 12
    assert [place for place in places if not (ROOT / place).exists()] == []
