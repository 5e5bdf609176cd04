"""A run history tells how runs ended: `Log/runs.jsonl`, one JSON line for each run.

The agent of this package writes it. The vendor documents no such file, so with another agent
there may be none, and the end of a run cannot be seen from outside.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from epm_task.admin.records import Tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from epm_task.admin.records import RecordSource


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


#: People take this for at once.
_LOOK_SECONDS: Final = 0.1
#: The agent may write the last records a moment after the end of the run.
_LAST_WORDS_SECONDS: Final = 0.3


class Follower:
    """What can be seen of a run from outside. Make it before the run is started.

    Args:
        source: Gives the records; None when they cannot be read.
        history: Tells the end; None when it cannot be read.
        show: Called with each record.
    """

    def __init__(
        self,
        source: RecordSource | None,
        history: RunHistory | None,
        show: Callable[[dict[str, Any]], None],
    ) -> None:
        self._source = source
        self._history = history
        self._show = show

    def follow(self, job_id: str, run_id: str, seconds: float) -> EndedRun | None:
        """Show records until the run has ended, and return how; None when that was not seen.

        Args:
            job_id: The job.
            run_id: The agent's id of the run; empty for the next run of the job.
            seconds: Longest time.

        Raises:
            AdminError: The broker has closed the connection.
            OSError: A file cannot be read.
        """
        until = time.monotonic() + seconds
        while True:
            self._look(_LOOK_SECONDS)
            ended = self._history.ended(job_id, run_id) if self._history else None
            if ended is not None or time.monotonic() >= until:
                break
        if ended is not None:
            self._last_words()
        return ended

    def close(self) -> None:
        """Let go of the source."""
        if self._source is not None:
            self._source.close()

    def _last_words(self) -> None:
        until = time.monotonic() + _LAST_WORDS_SECONDS
        while time.monotonic() < until:
            self._look(_LOOK_SECONDS)

    def _look(self, wait_seconds: float) -> None:
        records = self._source.records(wait_seconds) if self._source else []
        for record in records:
            self._show(record)
        if not records:
            time.sleep(0.02)
