"""The KeeperLogger file holds what tasks publish on the topic KeeperLogger, one JSON line each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from epm_task.runtime.level import INFORMATION, NUMBERS
from epm_task.simulator.rotating_file import RotatingFile

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.simulator.broker import Message
    from epm_task.simulator.log_record import Record


class KeeperLogger:
    """Append the records of a minimum level.

    Args:
        path: The file; its folder must exist.
        level: Lowest level that is written. The field's default is Warning, which hides what an
            author wants to see; so ours is Trace.

    Raises:
        ValueError: The level is unknown.
    """

    def __init__(self, path: Path, level: str = "Trace") -> None:
        """Open the file for appending."""
        if level.casefold() not in NUMBERS:
            words = ", ".join(word.capitalize() for word in NUMBERS)
            raise ValueError(f"unknown level {level!r}; one of {words}")
        self._least = NUMBERS[level.casefold()]
        self._file = RotatingFile(path)

    def write(self, message: Message, record: Record) -> None:
        """Write *record*, which *message* carries, when its level is high enough.

        Raises:
            OSError: The disk is full, or the file is gone.
        """
        if NUMBERS.get(record.level.casefold(), INFORMATION) >= self._least:
            self._file.append(_line(message, record))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(message: Message, record: Record) -> bytes:
    try:
        document = json.loads(message.payload)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        document = {
            "timestamp": datetime.now(UTC).isoformat(),
            "level": record.level,
            "message": record.message,
            "jobId": message.job_id,
        }
    # Written anew, because a payload may hold line ends, and each line of the file is one record.
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
