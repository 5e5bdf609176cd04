"""Tests of what each verb says when it cannot write: the path that was asked for, and why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli.command import HELLO, epm_task

#: Linux has a device on which each write finds no room.
FULL = Path("/dev/full")
#: Projects, policies and job documents have more. For `freeze`, whose child would write compiled
#: modules that are not whole either, see `test_freeze.py`.
_ROOM = 512


def _no_room() -> None:
    """Let no file grow beyond half a KiB, as on a disk that is full at that point."""
    import resource  # POSIX only

    resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM, _ROOM))


@pytest.mark.posix("limits are POSIX")
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("deploy", "policy", "hello.py", "-o", "{}/p.json"), "{}/p.json"),
        (("job", "hello.py", "-o", "{}/Jobs"), "{}/Jobs/hello.json"),
        (("new", "disk-report", "--no-input", "-o", "{}"), "{}"),
    ],
)
def test_a_full_disk(words: tuple[str, ...], named: str, tmp_path: Path) -> None:
    """One sentence with the path, no temporary name, and nothing is left behind."""
    out = tmp_path / "out"
    out.mkdir()
    # A file of its own: neither a compiled module nor what is measured would be written whole.
    shutil.copy(HELLO, tmp_path)
    alone = {"PYTHONDONTWRITEBYTECODE": "1"}
    alone |= {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
    given = [word.replace("{}", str(out)) for word in words]
    done = epm_task(*given, preexec_fn=_no_room, env=alone, cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    place = named.replace("{}", str(out))
    assert done.err[-1].startswith(f"epm-task: the operating system refused {place}: ")
    assert "File too large" in done.err[-1]
    assert [path for path in out.rglob("*") if path.is_file()] == []


@pytest.mark.posix("a device is POSIX")
@pytest.mark.skipif(not FULL.exists(), reason="this system has no such device")
@pytest.mark.parametrize("option", ["--trace", "--record"])
def test_a_run_goes_on_without_room_for_what_is_written_along(option: str, tmp_path: Path) -> None:
    """The task's own end counts; one line says which file is not whole."""
    done = epm_task("run", HELLO, option, FULL, cwd=tmp_path)
    assert (done.code, json.loads(done.out)) == (0, {"greeting": "Hello world"})
    told = [line for line in done.err if f"{FULL} is written no longer" in line]
    assert len(told) == 1
