"""Tests of `epm-task verify`: exit codes, and the two forms of the answer."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from cli.command_line import epm_task
from freeze.building import EXAMPLES, program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The example with settings, as a program of somebody else."""
    return program(tmp_path, (EXAMPLES / "key_scanner.py").read_text("utf-8"))


def test_a_good_program(place: Path):
    """A table, and 0; settings that the task reads can be given."""
    setting = ("--setting", "KeyScanner.max_bytes=10")
    source = ("--source", EXAMPLES / "key_scanner.py")
    done = epm_task("verify", place, *setting, *source, "--", "--root=.")
    assert done.exit_code == 0, done.out
    assert "times its source" in done.out
    assert "acknowledged" in done.out


def test_a_program_without_its_settings(place: Path):
    """The agent does not know the plugin of a foreign program: 1, and the reason."""
    done = epm_task("verify", place / "Probe", "--json", "--", "--root=.")
    answer = json.loads(done.out)
    assert (done.exit_code, answer["passed"]) == (1, False)
    assert answer["program"] == str(place / "Probe")
    failed = {check["name"]: check["detail"] for check in answer["checks"]}
    assert failed["exit code"].startswith("66")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["/nowhere"], "there is no /nowhere"),
        (["/bin/sh", "--source", "/nowhere"], "is no file"),
        (["/bin/sh", "--setting", "x"], "names no plugin"),
    ],
)
def test_wrong_use(words: list[str], sentence: str):
    """2, and one sentence."""
    done = epm_task("verify", *words)
    assert done.exit_code == 2
    assert sentence in done.err


def test_a_build_passes_until_it_is_touched(tmp_path: Path):
    """0 and 1; the changed file is named."""
    words = ("--backend", "zipapp", "--python", sys.executable)
    assert epm_task("freeze", EXAMPLES / "hello.py", "-o", tmp_path, *words).exit_code == 0
    place = tmp_path / "Jobs" / "bin" / "Hello"
    assert epm_task("verify-install", place).exit_code == 0
    (place / "Hello.pyz").write_bytes(b"")
    done = epm_task("verify-install", place, "--json")
    answer = json.loads(done.out)
    assert (done.exit_code, answer["passed"]) == (1, False)
    assert answer["checks"][0]["detail"].startswith("Hello.pyz was changed")


def test_a_program_without_a_manifest(tmp_path: Path):
    """There is nothing to compare: 2."""
    done = epm_task("verify-install", program(tmp_path, ""))
    assert done.exit_code == 2
    assert "has no manifest" in done.err
