"""Tests of `--selftest`: what it loads, what it says, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest
from peers.patience import PATIENCE

from epm_task.runtime.manifest import NAME, describe_files

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
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


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


def _lines(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Build a zip program; its manifest lists the program alone."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "__main__.py").write_text((EXAMPLES / "hello.py").read_text())
    built = tmp_path / "Hello" / "Hello.pyz"
    built.parent.mkdir()
    zipapp.create_archive(source, built)
    manifest = {"manifest": 1, "files": describe_files(built.parent)}
    (built.parent / NAME).write_text(json.dumps(manifest))
    return built


def test_a_program_is_compared_with_its_manifest(program: Path) -> None:
    """As it was built, it passes."""
    done = run(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert _lines(done)["manifest"] == "1 files as built"


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (20, 20), (25, 21)])
def test_differences_are_problems(program: Path, count: int, shown: int) -> None:
    """At most twenty of them are shown, and the others are counted."""
    for number in range(count):
        (program.parent / f"more-{number}").touch()
    done = run(program)
    assert (done.returncode, _lines(done)["manifest"]) == (1, f"{count} differences")
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
    assert len(problems) == shown
    assert problems[0] == "problem: more-0 is not in the manifest"
    assert ("problem: and 5 more" in problems) == (count == 25)


def test_a_program_without_its_manifest_fails(program: Path) -> None:
    """Nobody can tell whether it is what was built."""
    (program.parent / NAME).unlink()
    done = run(program)
    assert (done.returncode, _lines(done)["manifest"]) == (1, "unusable")
    assert f"problem: {program.parent / NAME} does not exist" in done.stdout


ODD = """
import importlib.metadata, sys
import epm_task.runtime.broker.connection, epm_task.runtime.selftest, epm_task.runtime.settings
import epm_task.runtime.spine
from epm_task import task

class Odd:
    pass

@task
def odd(*, number: int, kind: Odd):
    return None

if __name__ == "__main__":
    EXTRA
    odd.main()
"""


def test_a_parameter_that_nobody_can_read_fails(tmp_path: Path) -> None:
    """The program does not even begin."""
    file = tmp_path / "odd.py"
    file.write_text(ODD.replace("EXTRA", ""))
    done = run(file)
    assert done.returncode == 1
    assert "`kind` cannot be passed by an agent: no text means a value of Odd" in done.stderr


def test_structlog_is_named_where_it_is_used(tmp_path: Path) -> None:
    """A task that does without it does not load it."""
    file = tmp_path / "odd.py"
    file.write_text(ODD.replace(", kind: Odd", "").replace("EXTRA", "import structlog"))
    assert _lines(run(file))["structlog"][0].isdigit()
    assert "structlog" not in run(EXAMPLES / "hello.py").stdout


def test_a_library_without_a_version_is_present(tmp_path: Path) -> None:
    """An executable may hold no metadata."""
    file = tmp_path / "odd.py"
    hide = "sys.path[:] = [path for path in sys.path if 'site-packages' not in path]"
    extra = f"import structlog; {hide}"
    file.write_text(ODD.replace(", kind: Odd", "").replace("EXTRA", extra))
    done = run(file)
    assert (done.returncode, _lines(done)["structlog"]) == (0, "present"), done.stderr
