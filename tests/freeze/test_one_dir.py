"""Tests of missing imports: those of the author count, those that are allowed to fail do not."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from epm_task.freeze.one_dir import missing_imports, project_version, version_resource

if TYPE_CHECKING:
    from pathlib import Path


NOTES = """\
This file lists modules PyInstaller was not able to find.
missing module named late - imported by /ein Ördner/(x) task.py (delayed)
missing module named tried - imported by /ein Ördner/(x) task.py (delayed, optional)
missing module named typed - imported by neighbour (conditional)
missing module named top.level - imported by neighbour (top-level), httpx (optional)
missing module named 'quoted.name' - imported by httpx._x (optional), neighbour.inner (delayed)
missing module named foreign - imported by httpx._auth (delayed)
excluded module named rich - imported by neighbour (top-level)
"""


def test_only_the_authors_own_imports_count():
    """A path may hold blanks and parentheses."""
    own = {"(x) task.py", "neighbour", "neighbour.inner"}
    assert missing_imports(NOTES, own) == ("late", "top.level", "quoted.name")
    assert missing_imports("", own) == ()


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("1.2.3", "(1, 2, 3, 0)"), ("1.2.3rc4", "(1, 2, 3, 4)"), ("2026", "(2026, 0, 0, 0)")],
)
def test_the_numbers_are_four(version: str, numbers: str):
    """Whatever the version looks like; the text is an expression."""
    text = version_resource("KeyScanner", version)
    ast.parse(text, mode="eval")
    assert f"filevers={numbers}" in text
    assert "'KeyScanner.exe'" in text


@pytest.mark.parametrize(
    ("project", "version"),
    [
        ('[project]\nversion = "1.2"\n', "1.2"),
        ("[project]\n", "0.0.0"),
        ("broken", "0.0.0"),
    ],
)
def test_the_version_is_the_projects(tmp_path: Path, project: str, version: str):
    """That of the nearest pyproject.toml above the file."""
    (tmp_path / "pyproject.toml").write_text(project)
    assert project_version(tmp_path / "src" / "task.py") == version
