"""Tests of missing imports: those of the author count, those that are allowed to fail do not."""

from __future__ import annotations

from epm_task.freeze.missing_imports import missing_imports

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
