"""Write what tasks publish on the topic KeeperLogger into a file, one JSON line for each record."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from epm_task.contract.levels import INFORMATION, NUMBERS
from epm_task.contract.record import JOB_ID, LEVEL, MESSAGE, TIMESTAMP, read_fields
from epm_task.simulator.start_error import UnknownLevel

if TYPE_CHECKING:
    import io
    from pathlib import Path

    from epm_task.contract.record import Record
    from epm_task.simulator.broker import Message


class KeeperLogger:
    """Append the records of *level* and above.

    The field's default is Warning, which hides what an author wants to see; so ours is Trace.

    Attributes:
        stopped: Whether the plugin is stopped, so that nobody asks for records to be written.

    Raises:
        UnknownLevel: The level has a wrong name.
    """

    def __init__(self, path: Path, level: str = "Trace") -> None:
        if level.casefold() not in NUMBERS:
            raise UnknownLevel(level, NUMBERS)
        self._least = NUMBERS[level.casefold()]
        self._file = RotatingFile(path)
        self.stopped = False

    def write(self, message: Message, record: Record) -> None:
        """Write *record*, of *message*, if its level is high enough; raises what `append` does."""
        if NUMBERS.get(record.level.casefold(), INFORMATION) >= self._least:
            self._file.append(_line(message, record))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(message: Message, record: Record) -> bytes:
    payload = message.payload
    if record.identity and payload.isascii() and payload.decode("ascii").isprintable():
        return payload  # JSON on one line, as our tasks write it
    document = read_fields(payload) or {
        TIMESTAMP: datetime.now(UTC).isoformat(),
        LEVEL: record.level,
        MESSAGE: record.message,
        JOB_ID: message.job_id,
    }
    # Written anew, because a payload may hold line ends, and each line of the file is one record.
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")


#: Size at which the file moves aside, and how many older ones are kept: 60 MB at most.
_FULL_BYTES: Final = 10 << 20
_OLDER_FILES: Final = 5


class RotatingFile:
    """Append lines to *path*; `path.1` is the youngest of at most *older_files* full ones."""

    def __init__(
        self, path: Path, *, full_bytes: int = _FULL_BYTES, older_files: int = _OLDER_FILES
    ) -> None:
        self._path = path
        self._full_bytes = full_bytes
        self._older_files = older_files
        self._file = _open(path)

    def append(self, line: bytes) -> None:
        """Write one line, which must hold no line end of its own.

        Raises:
            OSError: The disk is full, or the file is gone.
        """
        size = self._file.tell()
        if size and size + len(line) >= self._full_bytes:
            self._rotate()
        self._file.write(line + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._older_files, 0, -1):
            younger = self._older(number - 1) if number > 1 else self._path
            if younger.exists():
                younger.replace(self._older(number))
        self._file = _open(self._path)

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _open(path: Path) -> io.FileIO:
    # Without a buffer, so that a line which found no room is not tried again by `close`.
    return open(path, "ab", buffering=0, opener=partial(os.open, mode=0o600))
