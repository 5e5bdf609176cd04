"""A run history tells how runs ended: `Log/runs.jsonl`, one JSON line for each run.

The agent of this package writes it. The vendor documents no such file, so with another agent
there may be none, and the end of a run cannot be seen from outside.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from epm_task.admin.tail import Tail

if TYPE_CHECKING:
    from pathlib import Path

#: Enough for some thousands of runs.
_LOOK_BACK_BYTES: Final = 4 * 1024 * 1024


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


class RunHistory:
    """The runs that end from now on.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)

    def ended(self, job_id: str, run_id: str) -> EndedRun | None:
        """Return the run when it has ended since the last look; any run of the job without an id.

        Raises:
            OSError: The file cannot be read.
        """
        runs = [run for line in self._tail.lines() if (run := read_run(line))]
        same = (run for run in runs if run.job_id == job_id and run_id in {"", run.run_id})
        return next(same, None)


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


def read_run(line: bytes) -> EndedRun | None:
    """Return the run that a line tells of, None for another kind of line."""
    try:
        found = json.loads(line)
        tasks = found.get("tasks") or []
        return EndedRun(
            run_id=str(found["id"]),
            job_id=str(found["jobId"]),
            exit_code=int(found["exitCode"]),
            seconds=float(found.get("seconds") or 0),
            ended=str(found.get("ended") or ""),
            skipped=str(found.get("skipped") or ""),
            problem=str(found.get("problem") or ""),
            timed_out=any(task.get("timedOut") for task in tasks),
            denials=tuple(str(denial) for denial in found.get("denials") or ()),
            result=found.get("result"),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
