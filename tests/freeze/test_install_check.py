"""Tests of the install check: files, owner and modes of a program on an endpoint."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from freeze.building import program

from epm_task.freeze.freeze_error import FreezeError
from epm_task.freeze.install_check import Check, check_install, judge, passed
from epm_task.freeze.installed import read_installed
from epm_task.runtime.manifest import describe_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A program with its manifest."""
    folder = program(tmp_path, "")
    for name in ("a.so", "b.so", "c.so", "d.so"):
        (folder / name).touch(mode=0o644)
    (folder / "manifest.json").write_text(
        json.dumps({"manifest": 1, "executable": "Probe", "files": describe_files(folder)})
    )
    return folder


def test_an_installed_program_passes(place: Path):
    """As it was built, the user's own or root's, and nobody else may write."""
    checks = check_install(read_installed(place))
    assert passed(checks)
    assert [check.name for check in checks] == [
        *("files", "owner", "modes", "folders above", "executable")
    ]


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (lambda f: (f / "a.so").write_text("x"), "files", "a.so was changed"),
        (lambda f: (f / "json.py").touch(), "files", "json.py is not in the manifest"),
        (lambda f: (f / "a.so").chmod(0o664), "modes", "mode 0664; chmod go-w"),
        (lambda f: f.chmod(0o777), "modes", "mode 0777"),
        (lambda f: f.parent.chmod(0o777), "folders above", "chmod go-w"),
        (lambda f: (f / "Probe").chmod(0o644), "files", "Probe was changed (executable bit)"),
    ],
)
def test_what_is_wrong_is_named(
    place: Path, change: Callable[[Path], object], name: str, words: str
):
    """With the command that puts it right."""
    change(place)
    checks = {check.name: check for check in check_install(read_installed(place))}
    assert checks[name].state == "failed"
    assert words in checks[name].detail


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_named(place: Path):
    """He could replace it."""
    os.chown(place / "a.so", 65534, 65534)
    checks = {check.name: check for check in check_install(read_installed(place))}
    assert "belongs to uid 65534" in checks["owner"].detail


def test_many_problems_are_counted(place: Path):
    """The first three are shown."""
    for path in place.glob("*.so"):
        path.unlink()
    checks = check_install(read_installed(place))
    assert checks[0].detail.endswith("; and 1 more")


def test_without_a_manifest_there_is_nothing_to_compare(tmp_path: Path):
    """The sentence says where one comes from."""
    with pytest.raises(FreezeError, match="epm-task freeze"):
        check_install(read_installed(program(tmp_path, "")))


def test_a_judgement_says_what_was_seen_or_what_is_wrong():
    """Without a sentence for the problem, what was seen is the problem."""
    assert judge("modes", [1], "all right", "wrong") == Check("modes", "ok", "all right")
    assert judge("modes", [], "all right", "wrong") == Check("modes", "failed", "wrong")
    assert judge("modes", 0, "seen") == Check("modes", "failed", "seen")


def test_only_a_failure_counts():
    """A check that could not be made says nothing against the program."""
    good = [Check("a", "ok", ""), Check("b", "skipped", "")]
    assert passed(good)
    assert not passed([*good, Check("c", "failed", "")])
