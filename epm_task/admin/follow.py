"""Following a run shows its records as they come, until the run history tells its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.admin.log_records import RecordSource
    from epm_task.admin.run_history import EndedRun, RunHistory

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
