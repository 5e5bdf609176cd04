"""Tests of the two ways to build a program, as far as they need no build."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from epm_task.freeze import FreezeError
from epm_task.freeze.backends import (
    build_environment,
    can_strip,
    check_tools,
    missing_imports,
    version_resource,
)

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


def test_only_the_authors_own_imports_count() -> None:
    """A path may hold blanks and parentheses."""
    own = {"(x) task.py", "neighbour", "neighbour.inner"}
    assert missing_imports(NOTES, own) == ("late", "top.level", "quoted.name")
    assert missing_imports("", own) == ()


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("1.2.3", "(1, 2, 3, 0)"), ("1.2.3rc4", "(1, 2, 3, 4)"), ("2026", "(2026, 0, 0, 0)")],
)
def test_the_numbers_are_four(version: str, numbers: str) -> None:
    """Whatever the version looks like; the text is an expression."""
    text = version_resource("KeyScanner", version)
    ast.parse(text, mode="eval")
    assert f"filevers={numbers}" in text
    assert "'KeyScanner.exe'" in text


def test_missing_binutils_are_named(tmp_path: Path) -> None:
    """The sentence names the package to install, and the backend that needs none."""
    with pytest.raises(FreezeError, match=r"ldd, objdump, objcopy.*binutils.*zipapp"):
        check_tools("linux", str(tmp_path))
    check_tools("win32", str(tmp_path))
    assert not can_strip("win32")


def test_variables_that_change_a_build_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hash seed and moment are set; variables of Python and of the linker are not passed on."""
    for name in ("PYTHONOPTIMIZE", "LD_LIBRARY_PATH", "OPENSSL_CONF", "_PYI_ARCHIVE_FILE"):
        monkeypatch.setenv(name, "1")
    environment = build_environment(1_700_000_000, tmp_path)
    assert environment["PYTHONHASHSEED"] == "0"
    assert environment["SOURCE_DATE_EPOCH"] == "1700000000"
    assert environment.keys() & {"PYTHONOPTIMIZE", "LD_LIBRARY_PATH", "OPENSSL_CONF"} == set()
