"""Tests of the build environment: no difference between machines, no build that cannot end."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from epm_task.freeze.build_environment import (
    build_environment,
    can_strip,
    check_tools,
    source_of,
)
from epm_task.freeze.freeze_error import FreezeError

if TYPE_CHECKING:
    from pathlib import Path


def test_missing_binutils_are_named(tmp_path: Path):
    """The sentence names the package to install, and the backend that needs none."""
    with pytest.raises(FreezeError, match=r"ldd, objdump, objcopy.*binutils.*zipapp"):
        check_tools("linux", str(tmp_path))
    check_tools("win32", str(tmp_path))
    assert not can_strip("win32")


def test_variables_that_change_a_build_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Hash seed and moment are set; variables of Python and of the linker are not passed on."""
    for name in ("PYTHONOPTIMIZE", "LD_LIBRARY_PATH", "OPENSSL_CONF", "_PYI_ARCHIVE_FILE"):
        monkeypatch.setenv(name, "1")
    environment = build_environment(1_700_000_000, tmp_path)
    assert environment["PYTHONHASHSEED"] == "0"
    assert environment["SOURCE_DATE_EPOCH"] == "1700000000"
    assert environment.keys() & {"PYTHONOPTIMIZE", "LD_LIBRARY_PATH", "OPENSSL_CONF"} == set()


def _git(folder: Path, *words: str) -> None:
    options = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *options, *words], cwd=folder, check=True, capture_output=True)


def test_git_says_where_the_source_comes_from(tmp_path: Path):
    """Commit, moment and whether something was changed since."""
    file = tmp_path / "task.py"
    file.write_text("1\n")
    assert source_of(file, {}) == (None, False, 315_532_800)
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", "task.py")
    _git(tmp_path, "commit", "-qm", "one")
    clean = source_of(file, {})
    assert clean.commit is not None
    assert len(clean.commit) == 40
    assert not clean.changed
    assert clean.epoch > 1_700_000_000
    file.write_text("2\n")
    assert source_of(file, {}).changed


def test_the_moment_can_be_given(tmp_path: Path):
    """As all reproducible builds do it; not before zip archives begin."""
    assert source_of(tmp_path / "x.py", {"SOURCE_DATE_EPOCH": "1700000000"}).epoch == 1_700_000_000
    assert source_of(tmp_path / "x.py", {"SOURCE_DATE_EPOCH": "1"}).epoch == 315_532_800
    with pytest.raises(FreezeError, match="no number of seconds"):
        source_of(tmp_path / "x.py", {"SOURCE_DATE_EPOCH": "today"})
