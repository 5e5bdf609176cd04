"""Tests of `--selftest`: what it loads, what it says, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

BROKEN = """
import sys
sys.modules["paho.mqtt"] = None
from epm_task import task

@task
def broken():
    return None

if __name__ == "__main__":
    broken.main()
"""


def run(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a task file as a program that no agent started."""
    command = [sys.executable, str(file), "--selftest", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("name", ["hello", "key_scanner", "async_probe"])
def test_a_source_passes(name: str) -> None:
    """No agent and no required parameter is needed; versions stand on stdout."""
    done = run(EXAMPLES / f"{name}.py")
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert {"epm-task", "python", "httpx", "paho-mqtt", "openssl"} <= set(lines)
    assert ("pydantic" in lines) == (name == "key_scanner")
    assert lines["manifest"] == "none: this is a source"
    assert lines["self-test"] == "passed"


def test_a_missing_library_fails(tmp_path: Path) -> None:
    """What cannot be imported is named on stdout, and stderr says what to do."""
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    done = run(file)
    assert done.returncode == 1
    assert "problem: paho.mqtt cannot be imported" in done.stdout
    assert done.stdout.endswith("self-test failed\n")
    assert done.stderr.startswith("epm_task: exit 1 (FAILED): the self-test failed")
    assert "Traceback" not in done.stderr


def test_it_needs_no_choice_among_several_tasks(tmp_path: Path) -> None:
    """All tasks of the file are looked at."""
    file = tmp_path / "several.py"
    text = BROKEN.replace('sys.modules["paho.mqtt"] = None', "")
    file.write_text(text.replace("if __name__", "@task\ndef second():\n    pass\n\nif __name__"))
    done = run(file)
    assert done.returncode == 0
    assert "broken, second" in done.stdout
