"""Log records are what one job's tasks have published, read from the KeeperLogger file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from epm_task.admin.tail import Tail

if TYPE_CHECKING:
    from pathlib import Path


class RecordSource(Protocol):
    """Where the records of a job are read as they come."""

    def records(self, wait_seconds: float) -> list[dict[str, Any]]:
        """Return the records since the last look, after *wait_seconds* when there is none yet."""

    def close(self) -> None:
        """Let go of what it holds."""


class LogRecords:
    """The records of one job that are written to the log from now on.

    Args:
        path: The file.
        job_id: The job; its runs cannot be told apart, because a record carries the task's own id
            of its run.
    """

    def __init__(self, path: Path, job_id: str) -> None:
        self._tail = Tail(path)
        self._job_id = job_id

    def records(self, wait_seconds: float) -> list[dict[str, Any]]:  # noqa: ARG002 - the protocol
        """Return the records since the last look; a file needs no waiting.

        Raises:
            OSError: The file cannot be read.
        """
        found = (read_record(line) for line in self._tail.lines())
        return [record for record in found if record and record.get("jobId") == self._job_id]

    def close(self) -> None:
        """Hold nothing: the file is open during a look only."""


def read_record(data: bytes) -> dict[str, Any] | None:
    """Return the record that a line or a message is, None for another kind of data."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
