"""Tests of the lines of the run history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from epm_task.contract.run_history import EndedRun, TaskEnd, last_run, read_run, write_run

if TYPE_CHECKING:
    from pathlib import Path


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
        denials=("PUBLISH x dropped",),
        result={"ä": "\n"},
    )
    tasks: list[TaskEnd] = [{"id": "scan", "exitCode": -9, "timedOut": True}]
    line = write_run(run, trigger="Startup", tasks=tasks)
    assert b"\n" not in line
    assert read_run(line) == run
    assert run.shell_exit_code == 137


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"id": 1, "jobId": "a", "exitCode": "x"}', b"[" * 100_000]
)
def test_other_lines_are_not_runs(data: bytes) -> None:
    """Another agent may write another kind of file there."""
    assert read_run(data) is None


def test_the_last_run_of_the_job_counts(tmp_path: Path) -> None:
    """Other jobs, and lines that are none, are passed over."""
    path = tmp_path / "runs.jsonl"
    runs = (EndedRun("r1", "scan", 1, 0), EndedRun("r2", "scan", 0, 0), EndedRun("r3", "x", 0, 0))
    lines = [write_run(run, trigger="Startup", tasks=[]) for run in runs]
    path.write_bytes(b"\n".join([*lines, b"broken\n"]))
    assert last_run(path, "scan") == runs[1]
    assert last_run(path, "none") is None
