"""Tests of the lines of the run history."""

from __future__ import annotations

import json
import math

import pytest
from peers.garbling import garbled

from epm_task.contract.program_text import program_text
from epm_task.contract.run_history import (
    EndedRun,
    FailedTask,
    StartFailure,
    TaskEnd,
    read_run,
    tail_text,
    write_run,
)


def test_a_line_reads_back_as_the_run_that_was_written() -> None:
    """Every field of it, whatever text a result holds."""
    run = EndedRun(
        "r1",
        "scan",
        -9,
        1.25,
        ended="2026-01-01T00:00:00.000+00:00",
        skipped="no",
        problem="yes",
        timed_out=True,
        failures=(
            FailedTask("scan", -9, StartFailure("x cannot be executed", "why", "fix"), "ä\nlast\n"),
        ),
        denials=("PUBLISH x dropped",),
        result={"ä": "\n"},
        trigger="Startup",
        context={"Root": "/etc"},
        records=7,
        record_runs=("a", "a.1"),
        published=2,
        messages=({"topic": "Jobs/scan/x", "payload": [1]}, {"topic": "y", "payload": None}),
        tries=3,
        registered_seconds=0.5,
    )
    why = {"what": "x cannot be executed", "why": "why", "fix": "fix"}
    tasks: list[TaskEnd] = [
        {"id": "one", "exitCode": 0, "stderrTail": "", "startError": None},
        {
            "id": "scan",
            "exitCode": -9,
            "timedOut": True,
            "stderrTail": "ä\nlast\n",
            "startError": why,
        },
    ]
    line = write_run(run, tasks)
    assert b"\n" not in line
    assert read_run(line) == run
    assert run.shell_exit_code == 137


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"id": "1", "jobId": "a", "exitCode": "x"}', b"[" * 100_000]
)
def test_other_lines_are_not_runs(data: bytes) -> None:
    """Another agent may write another kind of file there."""
    assert read_run(data) is None


WHOLE = {
    "id": "r",
    "jobId": "scan",
    "exitCode": 3,
    "seconds": 0.1,
    "ended": "",
    "skipped": "",
    "problem": "",
    "denials": ["x"],
    "tasks": [
        {
            "id": "t",
            "exitCode": 3,
            "timedOut": False,
            "stderrTail": "x",
            "startError": {"what": "w", "why": "y", "fix": "f"},
        }
    ],
}


def test_a_garbled_line_is_a_run_or_none() -> None:
    """Each field dropped, renamed, or with another value: never an accident, never another type."""
    assert read_run(json.dumps(WHOLE).encode()) is not None
    for _, variant in garbled(WHOLE):
        run = read_run(json.dumps(variant).encode())
        if run is not None:
            told = [run.problem, run.ended, *run.denials, *run.last_words()]
            told += [x for each in run.failures if each.start_error for x in each.start_error]
            assert all(isinstance(text, str) and len(text) <= 65_535 for text in told)
            assert isinstance(run.exit_code, int)
            assert math.isfinite(run.seconds)


def test_a_tail_from_disk_has_its_bound_and_harms_no_terminal() -> None:
    """A file is what somebody has written."""
    task = {"id": "t", "exitCode": 1, "stderrTail": "x" * 60_000 + "\n\x1b[2Jend\n"}
    run = read_run(json.dumps({**WHOLE, "tasks": [task]}).encode())
    assert run is not None
    assert len(run.failures[0].stderr_tail) == 4096
    assert run.last_words()[-1] == r"  \x1b[2Jend"


def test_records_in_a_tail_are_shown_as_people_read_them() -> None:
    """Those that no broker took."""
    line = {"message": "no disk", "level": "Error", "properties": {"left": 3}}
    task = FailedTask("t", 69, None, f"{json.dumps(line)}\nepm_task: exit 69\n")
    assert task.stderr_lines == ["  Error     no disk  left=3", "epm_task: exit 69"]


@pytest.mark.parametrize(
    ("end", "cut", "kept"),
    [
        (b"no\n", False, "no\n"),
        (b"password=hunter2\n", False, "password=********\n"),
        (b"hunter2 rest\nlast\n", True, "rest\nlast\n"),
        (b"x" * 9000, True, ""),
        (b"\xff\n\xc3\xa4", False, program_text(b"\xff") + "\nä"),
        (b"a" * 5000 + b"\nlast\n", False, "last\n"),
        (b"token: " + b"k" * 5000 + b" end", False, "token: ******** end"),
    ],
)
def test_the_tail_is_masked_before_it_is_cut(end: bytes, kept: str, *, cut: bool) -> None:
    """A secret whose name was cut off would not be known as one."""
    assert tail_text(end, cut=cut) == kept


def test_the_tail_is_the_last_4_kib_from_the_start_of_a_line() -> None:
    """In UTF-8."""
    lines = "".join(f"{number} äöü\n" for number in range(2000))
    tail = tail_text(lines.encode(), cut=False)
    assert lines.endswith(tail)
    assert 4080 < len(tail.encode()) <= 4096
    assert tail[0].isdigit()
    assert tail_text(b"x" * 9000, cut=False) == "x" * 4096
