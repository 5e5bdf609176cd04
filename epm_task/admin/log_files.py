"""Read the agent's log: the files that it is in, what is new in them, and what a line says.

The vendor documents `KeeperLogger.log`, which is renamed to `KeeperLogger_YYYYMMDD.log` at midnight
or to `KeeperLogger_YYYYMMDD_HHMMSS.log` at a size, and also one file a day with the date in its
name. In the field lines are text with `[ERR]` and the like; the agent of this package writes JSON.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.contract.record import JOB_ID, LEVEL, MESSAGE, RUN_ID, SEQ, TIMESTAMP, read_fields
from epm_task.contract.run_history import EndedRun, read_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: A date, and a time or a number, that a name of a log gets at its end.
_DATE: Final = r"_?\d{8}(?:_\d{1,6})?"
#: So much of a file tells it from another one that got its inode.
_HEAD_BYTES: Final = 1024
#: What one call reads of the files, and what a line that never ends is cut to.
_AT_ONCE: Final = 8 << 20
_LONGEST_LINE: Final = 1 << 20
#: What is looked back at, as in the run history.
_LOOK_BACK_BYTES: Final = 4 << 20


class _Listed(NamedTuple):
    """A file in its folder; two of one identity are one file, whatever its name."""

    changed: int
    current: bool
    path: Path
    identity: tuple[int, int]
    size: int


def _facts(found: os.stat_result) -> tuple[tuple[int, int], int]:
    return (found.st_dev, found.st_ino), found.st_size


def files_of(log: Path) -> list[_Listed]:
    """Return the files of a log, the oldest first: itself, those renamed, those of other days.

    Raises:
        OSError: The folder cannot be read; one that is absent holds none.
    """
    stem = re.sub(f"{_DATE}$", "", log.stem) or log.stem
    names = re.compile(rf"{re.escape(stem)}(?:{_DATE})?{re.escape(log.suffix)}(?:\.\d+)?")
    listed = []
    try:
        present = os.listdir(log.parent)  # noqa: PTH208  # names are matched
    except (FileNotFoundError, NotADirectoryError):
        return []
    for name in filter(names.fullmatch, present):
        path = log.with_name(name)
        try:
            found = path.stat()
        except FileNotFoundError:  # renamed since
            continue
        listed.append(_Listed(found.st_mtime_ns, name == log.name, path, *_facts(found)))
    return sorted(listed)


class _Followed:
    """How far a file was read."""

    def __init__(self, offset: int = 0, head: bytes = b"") -> None:
        self.offset = offset
        self.head = head
        self.rest = b""
        #: Size and time of the last change when all of it was read; None when there is more.
        self.seen: tuple[int, int] | None = None
        self._cut = False

    def split(self, data: bytes) -> list[bytes]:
        """Return the lines that end in *data*, and keep what follows the last."""
        *whole, self.rest = (self.rest + data).split(b"\n")
        if self._cut and whole:
            del whole[0]
            self._cut = False
        if self._cut:
            self.rest = b""
        elif len(self.rest) > _LONGEST_LINE:
            whole.append(self.rest[:_LONGEST_LINE])
            self.rest, self._cut = b"", True
        return whole


class LogFiles:
    """The lines that are added to some logs from now on; they need not exist yet.

    A file is known by its identity and its first bytes, not by its name. It is open only while it
    is read, because Windows refuses to rename an open file.

    Attributes:
        behind: Whether the last call left something, because there was so much.

    Raises:
        OSError: A log cannot be read.
    """

    def __init__(self, *logs: Path) -> None:
        self._logs = logs
        self._known: dict[tuple[int, int], _Followed] = {}
        self.behind: bool = False
        while not self._begin():  # a file was renamed meanwhile
            pass

    def lines(self) -> list[bytes]:
        """Return the whole lines that were added since the last call, in order within each log.

        Raises:
            OSError: A file cannot be read.
        """
        found: list[bytes] = []
        room = _AT_ONCE
        self.behind = False
        for listed in self._listed():
            known = self._known.get(listed.identity)
            if known and known.seen == (listed.size, listed.changed):
                continue
            self.behind = room <= 0
            if self.behind:
                break
            try:
                with listed.path.open("rb") as file:
                    identity, size = _facts(os.fstat(file.fileno()))
                    if identity != listed.identity:  # renamed since: the next call sees both
                        break
                    known, ended = self._followed(identity, size, file.read(_HEAD_BYTES))
                    file.seek(known.offset)
                    data = file.read(room)
                    known.offset += len(data)
                    file.seek(0)
                    known.head = file.read(min(_HEAD_BYTES, known.offset))
            except FileNotFoundError:
                break
            room -= len(data)
            known.seen = (listed.size, listed.changed) if known.offset >= size else None
            found += [*ended, *known.split(data)]
            self.behind = known.seen is None
        return found

    def rests(self) -> list[bytes]:
        """Return what was written without a line end."""
        return [known.rest for known in self._known.values() if known.rest]

    def _begin(self) -> bool:
        """Take what is there as read; return whether each file was found as it was listed."""
        for listed in self._listed():
            try:
                with listed.path.open("rb") as file:
                    identity, size = _facts(os.fstat(file.fileno()))
                    head = file.read(min(_HEAD_BYTES, size))
                    start = file.seek(max(0, size - _LONGEST_LINE))
                    # A line whose first half is there already comes whole.
                    offset = start + file.read(size - start).rfind(b"\n") + 1
            except FileNotFoundError:
                return False
            if identity != listed.identity:
                return False
            self._known[identity] = _Followed(offset, head)
        return True

    def _listed(self) -> Iterator[_Listed]:
        for log in self._logs:
            yield from files_of(log)

    def _followed(
        self, identity: tuple[int, int], size: int, head: bytes
    ) -> tuple[_Followed, list[bytes]]:
        """Return how far a file was read, and the line that it will not end any more."""
        known = self._known.get(identity)
        if known and known.offset <= size and head.startswith(known.head):
            return known, []
        # Emptied, or another file with the same inode. A copy goes on where its original was.
        fresh = _Followed()
        for other in self._known.values():
            if other.head and other.offset <= size and head.startswith(other.head):
                fresh = _Followed(other.offset, other.head)
                fresh.rest = other.rest
        self._known[identity] = fresh
        return fresh, [known.rest] if known and known.rest and not fresh.rest else []


def recent_lines(logs: Iterable[Path]) -> list[bytes]:
    """Return the last lines of some logs, 4 MiB of each.

    Raises:
        OSError: A log cannot be read.
    """
    lines: list[bytes] = []
    for log in logs:
        own: list[bytes] = []
        room = _LOOK_BACK_BYTES
        for listed in reversed(files_of(log)):
            with listed.path.open("rb") as file:
                size = file.seek(0, 2)
                start = file.seek(max(0, size - room))
                part = file.read(room).split(b"\n")
            own[:0] = part[1:] if start else part
            room -= size
            if room <= 0:
                break
        lines += own
    return lines


def recent_runs(history: Path, job_id: str | None = None) -> list[EndedRun]:
    """Return the last runs of a job, or of all, that a run history tells of, the oldest first.

    Raises:
        OSError: A file cannot be read; a history that is absent holds none.
    """
    runs = (run for line in recent_lines([history]) if (run := read_run(line)))
    return [run for run in runs if job_id in {None, run.job_id}]


#: Words for levels in lines of text, in capitals: those of Serilog, of .NET's console, and whole.
_LEVELS: Final = {
    **dict.fromkeys(("VRB", "TRC", "TRCE", "VERBOSE", "TRACE"), "Trace"),
    **dict.fromkeys(("DBG", "DBUG", "DEBUG"), "Debug"),
    **dict.fromkeys(("INF", "INFO", "INFORMATION"), "Information"),
    **dict.fromkeys(("WRN", "WARN", "WARNING"), "Warning"),
    **dict.fromkeys(("ERR", "FAIL", "ERROR"), "Error"),
    **dict.fromkeys(("FTL", "CRT", "CRIT", "FATAL", "CRITICAL"), "Critical"),
}
#: `2026-11-26 09:00:00.123 +00:00 [ERR] text`, or `[09:00:00 ERR] text`.
_TEXT: Final = re.compile(
    rf"(?P<before>.{{0,120}}?)[\[ ](?P<level>{'|'.join(_LEVELS)})\]\s*(?P<text>.*)", re.IGNORECASE
)
_CLOCK: Final = re.compile(r"\W*(\d[\d:.,T/-]*(?: \d\d:[\d:.,]+)?)")
_NO_LEVEL: Final = "Information"
#: Copies of a record come soon after each other.
_REMEMBERED: Final = 10_000


class JobLines:
    """Pick the records of one job out of the lines of a log, each once.

    A line of text is the job's when it names the job, alone or in a JSON object at its end; and so
    is what follows such a line without a level, such as a traceback.
    """

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._needle = job_id.encode()
        self._named = re.compile(rf"(?<![\w.-]){re.escape(job_id)}(?![\w-]|\.\w)")
        self._level = ""
        self._seen: dict[tuple[str, Any], None] = {}

    def records(self, lines: Iterable[bytes]) -> list[dict[str, Any]]:
        """Return the records of the job in *lines*."""
        return [record for line in lines if (record := self._record(line)) is not None]

    def _record(self, line: bytes) -> dict[str, Any] | None:
        if self._needle not in line and not self._level:
            return None
        text = line.decode("utf-8", "replace").strip("\ufeff\r\n\0")
        found = read_fields(text.encode()) if text.startswith("{") else None
        if found is not None:
            self._level = ""
            return self._once(found)
        return self._of_text(text)

    def _of_text(self, text: str) -> dict[str, Any] | None:
        if (match := _TEXT.match(text)) is None:
            level = self._level if not self._named.search(text) else self._level or _NO_LEVEL
            return {LEVEL: level, MESSAGE: text} if level and text.strip() else None
        self._level = ""
        level = _LEVELS[match["level"].upper()]
        brace = match["text"].find("{")
        inner = read_fields(match["text"][brace:].encode()) if brace >= 0 else None
        if inner is not None and JOB_ID in inner:
            return self._once({LEVEL: level, MESSAGE: match["text"][:brace].strip(), **inner})
        if not self._named.search(text):
            return None
        self._level = level
        clock = _CLOCK.match(match["before"])
        return {
            TIMESTAMP: clock[1] if clock else "",
            LEVEL: level,
            MESSAGE: match["text"],
            JOB_ID: self._job_id,
        }

    def _once(self, record: dict[str, Any]) -> dict[str, Any] | None:
        if record.get(JOB_ID) != self._job_id:
            return None
        run_id, number = record.get(RUN_ID), record.get(SEQ)
        if isinstance(run_id, str) and isinstance(number, int):
            if (run_id, number) in self._seen:
                return None
            self._seen[run_id, number] = None
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return record
