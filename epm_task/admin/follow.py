"""Follow a run from outside: its records, in the log or from the broker, and its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from epm_task.admin.broker import AdminBroker
from epm_task.admin.log_files import JobLines, LogFiles, files_of
from epm_task.contract.layout import RUN_HISTORY
from epm_task.contract.record import JOB_ID, read_fields
from epm_task.contract.run_history import EndedRun, read_run
from epm_task.contract.topic import KEEPER_LOGGER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from epm_task.admin.credential import Credential


#: The agent may write the last records a moment after the end of the run.
_LATE_SECONDS: Final = 0.3
#: The vendor's agent keeps records for 5 s before it writes them.
_FLUSH_SECONDS: Final = 6.0
#: More records than these are given in several calls.
_ENOUGH: Final = 10_000


class LogRecords:
    """The records of one job that are written to the agent's logs from now on.

    Its runs cannot be told apart: a record carries the task's own id of its run.

    Attributes:
        late_seconds: How long after the end of a run its records may come.

    Raises:
        OSError: A log cannot be read.
    """

    def __init__(self, logs: Sequence[Path], job_id: str) -> None:
        self._files = LogFiles(*logs)
        self._lines = JobLines(job_id)
        # Only the agent of this package writes both, and each record at once.
        present = [log for log in logs if files_of(log)]
        at_once = present and all((log.parent / RUN_HISTORY).exists() for log in present)
        self.late_seconds: float = _LATE_SECONDS if at_once else _FLUSH_SECONDS

    @property
    def behind(self) -> bool:
        """Whether the last call left some."""
        return self._files.behind

    def records(self, wait_seconds: float) -> list[dict[str, Any]]:  # noqa: ARG002  # as the broker's
        """Return the records since the last call; a file needs no waiting.

        Raises:
            OSError: A log cannot be read.
        """
        found = self._lines.records(self._files.lines())
        while self._files.behind and len(found) < _ENOUGH:
            found += self._lines.records(self._files.lines())
        return found

    def rest(self) -> list[dict[str, Any]]:
        """Return what was written without a line end."""
        return self._lines.records(self._files.rests())

    def close(self) -> None:
        """Hold nothing: a file is open only while it is read."""


class BrokerRecords:
    """A subscription of an administrator to KeeperLogger; the records of one job are kept.

    Raises:
        AdminUnreachable: No broker answers there.
        CredentialRefused: The broker refuses the client or the subscription.
        UnsafeConnection: A file is not safe, or another user's process holds the port.
        WrongUse: A file of the credential is not what it must be.
    """

    #: As of `LogRecords`.
    late_seconds: Final = _LATE_SECONDS
    behind: Final = False

    def __init__(self, address: tuple[str, int], credential: Credential, job_id: str) -> None:
        self._job_id = job_id
        self._records: list[dict[str, Any]] = []
        self._broker = AdminBroker(address, credential)
        self._broker.on_message = self._keep
        try:
            self._broker.subscribe(KEEPER_LOGGER)
        except BaseException:
            self._broker.close()
            raise

    def records(self, wait_seconds: float) -> list[dict[str, Any]]:
        """Return the records since the last call, after at most *wait_seconds*.

        Raises:
            AdminUnreachable: The broker has closed the connection.
        """
        self._broker.read(wait_seconds)
        taken, self._records = self._records, []
        return taken

    def rest(self) -> list[dict[str, Any]]:
        """Return nothing: a message is whole."""
        return []

    def close(self) -> None:
        """Leave the broker."""
        self._broker.close()

    def _keep(self, payload: bytes) -> None:
        record = read_fields(payload)
        if record and record.get(JOB_ID) == self._job_id:
            self._records.append(record)


#: Where the records of a job are read as they come.
RecordSource: TypeAlias = LogRecords | BrokerRecords


#: People take this for at once.
_WAIT_SECONDS: Final = 0.1


class Follower:
    """What records and the agent's run history show of a run; make it before the run is started.

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
        self._ends = LogFiles(history) if history else None
        self._show = show

    def follow(self, job_id: str, run_id: str, seconds: float) -> EndedRun | None:
        """Show records until the run has ended, and return how; None when that was not seen.

        An empty *run_id* means the next run of the job.

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
        if self._source is not None:
            until = time.monotonic() + self._source.late_seconds
            while self._show_new_records() or time.monotonic() < until:
                pass
            for record in self._source.rest():
                self._show(record)
        return ended

    def close(self) -> None:
        """Let go of the source."""
        if self._source is not None:
            self._source.close()

    def _find_end(self, job_id: str, run_id: str) -> EndedRun | None:
        runs = [run for line in self._ends.lines() if (run := read_run(line))] if self._ends else []
        same = (run for run in runs if run.job_id == job_id and run_id in {"", run.run_id})
        return next(same, None)

    def _show_new_records(self) -> bool:
        """Show what is new; return whether more of it is there already."""
        records = self._source.records(_WAIT_SECONDS) if self._source else []
        for record in records:
            self._show(record)
        if not records:
            time.sleep(0.02)
        return self._source is not None and self._source.behind
