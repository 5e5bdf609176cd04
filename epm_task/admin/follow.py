"""Follow a run from outside: its records, and its end in the history that the agent writes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from epm_task.admin.records import Tail
from epm_task.contract.run_history import EndedRun, read_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from epm_task.admin.records import RecordSource


#: Enough for some thousands of runs.
_LOOK_BACK_BYTES: Final = 4 * 1024 * 1024


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


#: People take this for at once.
_WAIT_SECONDS: Final = 0.1
#: The agent may write the last records a moment after the end of the run.
_LATE_SECONDS: Final = 0.3


class Follower:
    """What can be seen of a run from outside. Make it before the run is started.

    Args:
        source: Gives the records; None when they cannot be read.
        history: The run history of the agent, which tells the end; None when it cannot be read.
        show: Called with each record.

    Raises:
        OSError: The history cannot be examined.
    """

    def __init__(
        self,
        source: RecordSource | None,
        history: Path | None,
        show: Callable[[dict[str, Any]], None],
    ) -> None:
        self._source = source
        self._ends = Tail(history) if history else None
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
            self._show_new_records()
            ended = self._find_end(job_id, run_id)
            if ended is not None or time.monotonic() >= until:
                break
        if ended is not None:
            until = time.monotonic() + _LATE_SECONDS
            while time.monotonic() < until:
                self._show_new_records()
        return ended

    def close(self) -> None:
        """Let go of the source."""
        if self._source is not None:
            self._source.close()

    def _find_end(self, job_id: str, run_id: str) -> EndedRun | None:
        runs = [run for line in self._ends.lines() if (run := read_run(line))] if self._ends else []
        same = (run for run in runs if run.job_id == job_id and run_id in {"", run.run_id})
        return next(same, None)

    def _show_new_records(self) -> None:
        records = self._source.records(_WAIT_SECONDS) if self._source else []
        for record in records:
            self._show(record)
        if not records:
            time.sleep(0.02)
