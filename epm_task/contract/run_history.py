"""Write and read `Log/runs.jsonl`: one JSON line for each run that has ended.

The agent of this package writes it. The vendor documents no such file, so with another agent
there may be none, and the end of a run cannot be seen from outside.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict

from epm_task.contract.json_text import parse_object

if TYPE_CHECKING:
    from pathlib import Path


#: Enough for some thousands of runs.
_LOOK_BACK_BYTES: Final = 4 * 1024 * 1024


class TaskEnd(TypedDict, total=False):
    """How one task of a run ended, in the words of the file.

    `exitCode` is negative for a signal, `seconds` is wall time, `skipped` says why the task was not
    run, and `leftBehind` counts the processes that it left running.
    """

    id: str
    pid: int | None
    exitCode: int
    seconds: float
    timedOut: bool
    skipped: str
    leftBehind: int
    stdoutBytes: int
    stderrBytes: int


@dataclass(frozen=True, slots=True)
class EndedRun:
    """How one run ended.

    Attributes:
        run_id: The agent's id of the run.
        job_id: The job.
        exit_code: The first that was not 0, else 0; negative for a signal.
        seconds: Wall time.
        ended: When, ISO 8601.
        skipped: Why the agent did not run it; empty when it did.
        problem: Why a task could not be started; empty when all could.
        timed_out: Whether the agent ended a task at its time-out.
        denials: What the agent refused meanwhile, in its own words.
        result: The JSON object on stdout, or None.
    """

    run_id: str
    job_id: str
    exit_code: int
    seconds: float
    ended: str = ""
    skipped: str = ""
    problem: str = ""
    timed_out: bool = False
    denials: tuple[str, ...] = ()
    result: dict[str, Any] | None = None

    @property
    def shell_exit_code(self) -> int:
        """The exit code as a shell would see it: 128 plus the signal for a killed process."""
        return 128 - self.exit_code if self.exit_code < 0 else self.exit_code


def write_run(run: EndedRun, *, trigger: str, tasks: list[TaskEnd]) -> bytes:
    """Return the line of a run that *trigger* started, without its line end."""
    document = {
        "id": run.run_id,
        "jobId": run.job_id,
        "trigger": trigger,
        "ended": run.ended,
        "exitCode": run.exit_code,
        "seconds": round(run.seconds, 3),
        "skipped": run.skipped,
        "problem": run.problem,
        "result": run.result,
        "tasks": tasks,
        "denials": run.denials,
    }
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")


def read_run(line: bytes) -> EndedRun | None:
    """Return the run that a line tells of, None for another kind of line."""
    try:
        found = parse_object(line)
        return EndedRun(
            run_id=str(found["id"]),
            job_id=str(found["jobId"]),
            exit_code=int(found["exitCode"]),
            seconds=float(found.get("seconds") or 0),
            ended=str(found.get("ended") or ""),
            skipped=str(found.get("skipped") or ""),
            problem=str(found.get("problem") or ""),
            timed_out=any(task.get("timedOut") for task in found.get("tasks") or ()),
            denials=tuple(str(denial) for denial in found.get("denials") or ()),
            result=found.get("result"),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def last_run(path: Path, job_id: str) -> EndedRun | None:
    """Return the last run of a job, None when the history knows none.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LOOK_BACK_BYTES))
        lines = file.read().splitlines()
    runs = (run for line in reversed(lines) if (run := read_run(line)))
    return next((run for run in runs if run.job_id == job_id), None)
