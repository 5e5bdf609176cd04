"""Tests of `epm-task verify-install`: exit codes, and the two forms of the answer."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from cli.command_line import epm_task
from freeze.building import EXAMPLES, program

if TYPE_CHECKING:
    from pathlib import Path


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
