"""A run history is the list of the agent's job runs, one JSON line each: `Log/runs.jsonl`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from epm_task.simulator.rotating_file import RotatingFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from epm_task.simulator.job_run import JobRun, TaskRun
    from epm_task.simulator.trace import TraceEvent


class RunHistory:
    """Append one line per run.

    Args:
        path: The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        """Open the file for appending."""
        self._file = RotatingFile(path)

    def append(self, run: JobRun, denials: Iterable[TraceEvent]) -> None:
        """Write the line of a run that has ended, with what was refused meanwhile."""
        line = describe_run(run) | {"denials": [str(event) for event in denials]}
        self._file.append(json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def describe_run(run: JobRun) -> dict[str, Any]:
    """Return what a run did, without its outputs, as JSON can hold it."""
    return {
        "id": run.run_id,
        "jobId": run.job_id,
        "trigger": run.trigger,
        "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "exitCode": run.exit_code,
        "seconds": round(run.seconds, 3),
        "skipped": run.skipped,
        "problem": run.problem,
        "result": run.result,
        "tasks": [_describe_task(task) for task in run.tasks],
    }


def _describe_task(task: TaskRun) -> dict[str, Any]:
    return {
        "id": task.task_id,
        "pid": task.pid,
        "exitCode": task.exit_code,
        "seconds": round(task.seconds, 3),
        "timedOut": task.timed_out,
        "skipped": task.skipped,
        "leftBehind": task.left_behind,
        "stdoutBytes": len(task.stdout) + task.stdout_dropped,
        "stderrBytes": len(task.stderr) + task.stderr_dropped,
    }
