"""Write what tasks publish on the topic KeeperLogger into a file, one JSON line for each record."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from epm_task.contract.levels import INFORMATION, NUMBERS
from epm_task.contract.record import JOB_ID, LEVEL, MESSAGE, TIMESTAMP, read_fields
from epm_task.simulator.start_error import UnknownLevel

if TYPE_CHECKING:
    import io
    from collections.abc import Callable
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
        self._file = DailyFile(path)
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


#: Size at which a file moves aside, and how many older ones are kept: 60 MB at most.
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
        if size and self._is_over(size + len(line)):
            self._file.close()
            self._move_aside()
            self._file = _open(self._path)
        self._file.write(line + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _is_over(self, size: int) -> bool:
        return size >= self._full_bytes

    def _move_aside(self) -> None:
        for number in range(self._older_files, 0, -1):
            younger = self._older(number - 1) if number > 1 else self._path
            if younger.exists():
                younger.replace(self._older(number))

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


#: How long the vendor keeps older files, unless it is told otherwise.
_KEPT_DAYS: Final = 15
_MOMENT: Final = "_%Y%m%d_%H%M%S"


class DailyFile(RotatingFile):
    """Append lines to *path*, and rename it as the vendor's agent does, by the local time of *now*.

    At midnight it becomes `path_YYYYMMDD`, at *full_bytes* `path_YYYYMMDD_HHMMSS`; what is older
    than 15 days, and more than *older_files*, is deleted.
    """

    def __init__(
        self,
        path: Path,
        *,
        full_bytes: int = _FULL_BYTES,
        older_files: int = _KEPT_DAYS,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._now = now
        seconds = path.stat().st_mtime if path.exists() else now().timestamp()
        self._day = datetime.fromtimestamp(seconds, now().tzinfo)
        super().__init__(path, full_bytes=full_bytes, older_files=older_files)

    def _is_over(self, size: int) -> bool:
        return super()._is_over(size) or self._now().date() > self._day.date()

    def _move_aside(self) -> None:
        now, moment = self._now(), self._day
        aside = self._dated(f"{moment:_%Y%m%d}")
        if now.date() == moment.date():
            moment, aside = now, self._dated(f"{now:{_MOMENT}}")
        while aside.exists():
            moment += timedelta(seconds=1)
            aside = self._dated(f"{moment:{_MOMENT}}")
        self._path.replace(aside)
        self._day = now
        oldest = self._dated(f"_{now - timedelta(days=_KEPT_DAYS):%Y%m%d}").name
        older = sorted(self._path.parent.glob(f"{self._path.stem}_*{self._path.suffix}"))
        for number, path in enumerate(reversed(older), 1):
            if number > self._older_files or path.name < oldest:
                path.unlink(missing_ok=True)

    def _dated(self, ending: str) -> Path:
        return self._path.with_name(f"{self._path.stem}{ending}{self._path.suffix}")


def _open(path: Path) -> io.FileIO:
    # Without a buffer, so that a line which found no room is not tried again by `close`.
    return open(path, "ab", buffering=0, opener=partial(os.open, mode=0o600))
