"""Keep stdout for the one JSON line that the agent reads; all else goes to stderr."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from epm_task.runtime.stop import SHIELD, in_forked_children
from epm_task.runtime.timed_write import FOR_EVER, LARGEST_PIPE, make_room, timed_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

#: A call waits so long for a reader that pauses, once; no log call blocks for longer.
_PATIENCE_SECONDS: Final = 1.0
#: A forked child has no flush at its end, only this: the default time-out of a flush.
_FORKED_PATIENCE_SECONDS: Final = 5.0
#: What the end of a run may take beyond the time-out of its flush.
GRACE_SECONDS: Final = 0.4
#: The last of it belongs to the last line, when other threads wait for the reader no longer.
_LAST_SECONDS: Final = 0.1
#: A line takes microseconds; on a busy machine its thread has its turn within these.
_HANDOVER_SECONDS: Final = 0.2
#: What may wait for the reader of stderr: as much as may wait for the broker.
_LIMIT_BYTES: Final = 8 * 1024 * 1024
#: Time for text without a line end to reach stderr; a reader takes it in microseconds.
_FLUSH_SECONDS: Final = 0.2


class StandardStreams:
    """File descriptors 1 and 2 of the process, reserved before any user code runs.

    From then on whatever is written to fd 1, by `print`, C code or a child process, lands on
    stderr; the real stdout is a duplicate that no child has. A line that the reader of stderr does
    not take at once waits in memory, and is written before those that come later.
    """

    def __init__(self) -> None:
        """Reserve fd 1, open closed descriptors, and make both text streams UTF-8."""
        open_missing_descriptors()
        self._stdout = os.dup(1)
        os.dup2(2, 1)
        self.interactive: Final = os.isatty(2)
        #: Whether a fork made this process: the result and the last line are the parent's.
        self.forked: bool = False
        # Held while a line is written; the thread that has it may print, in a `__del__`.
        self._lock = threading.RLock()
        #: Lines with whether each is a record; the first may be the rest of one. A line leaves it
        #: when it is written, so that none is in nobody's hands when the process ends.
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._counting = threading.RLock()
        self._waiting_bytes = 0
        self._lost = 0
        self._torn = False
        self._paused = False
        self._line_open = False
        #: Who has it counts what still waits; nothing else is taken any more.
        self._sealed = threading.RLock()
        self._finisher: int | None = None
        self._end: float | None = None
        #: What `print` writes passes it, to keep secrets out.
        self.hide: Callable[[str], str] = str
        sys.stdout = self._text_stream(cast("TextIO | None", sys.stdout), 1)
        sys.stderr = self._text_stream(cast("TextIO | None", sys.stderr), 2)
        in_forked_children(self._become_child)

    def end_by(self, moment: float) -> None:
        """Let writes wait until *moment* of the monotonic clock, from now on, and no longer."""
        self._end = moment

    def write_stdout(self, line: bytes) -> bool:
        """Write the result; return False when it is not taken in time."""
        make_room(self._stdout, len(line))
        return not timed_write(
            self._stdout, line, self._end or time.monotonic() + _PATIENCE_SECONDS
        )

    def write_stderr(self, line: bytes, *, record: bool = False, keep: bool = True) -> bool:
        """Write one whole line to stderr, and return whether the reader has taken it.

        Otherwise it waits until later, if it is one to *keep*; one that is not to be kept may have
        begun, and is completed. A *record* that is never taken counts in what `finish` returns.
        """
        with SHIELD:
            if keep and not self._wait(line, record=record):
                self._sealed.acquire()  # for good: the process ends before another thread has it
                keep = False
            until = self._until()
            if not self._lock.acquire(timeout=max(until - time.monotonic(), 0.0)):
                self._paused = not self.forked  # `print` has the lock, and waits for the reader
                return False
            try:
                return self._write_waiting(until) and (keep or self._write_now(line, until))
            finally:
                self._lock.release()

    def write_text(self, data: Any, write: Callable[[Any], int]) -> int:
        """Let `print` *write*, between two lines, and without a bound, as everywhere else."""
        with SHIELD, self._lock:
            if self._torn:
                self._write_waiting(FOR_EVER, lines=1)
            # Around all of it: what the buffer believes to be unwritten would be written again.
            self._line_open = bytes(data[-1:]) != b"\n"
            return write(data)

    def finish(self) -> int:
        """Write what still waits; return how many records the reader of stderr did not take.

        A call that another thread makes from now on does not return before the process ends: what
        it would write has not been accepted.
        """
        if self._end is None:
            self._end = time.monotonic() + GRACE_SECONDS
        _flush_text(min(_FLUSH_SECONDS, max(self._end - time.monotonic(), 0.0)))
        self._sealed.acquire()
        with self._counting:
            self._finisher = threading.get_ident()
        # The thread that has the lock now writes one line more, and leaves the others to this one.
        with self._undivided(max(self._end, time.monotonic() + _HANDOVER_SECONDS)) as alone:
            if alone and not self._write_waiting(self._end):
                # The other half is for the rest of a line that has begun, and the last one.
                make_room(2, self._waiting_bytes, LARGEST_PIPE // 2)
                self._write_waiting(self._end)
            return self._lost + sum(record for _, record in list(self._waiting))

    def write_last(self, line: bytes) -> None:
        """Write the last line of the process, if any; no thread of it can write another one."""
        # Also when the lines before it took all the time that there was.
        end = max(self._end or 0.0, time.monotonic() + _LAST_SECONDS)
        with self._undivided(end, for_good=True) as alone:
            if alone and self._torn:
                line = self._waiting[0][0] + line
            elif line and (self._line_open or not alone):
                line = b"\n" + line
            make_room(2, len(line))
            timed_write(2, line, end)

    @contextmanager
    def _undivided(self, until: float, *, for_good: bool = False) -> Iterator[bool]:
        # Whoever has the lock for longer is stuck in `print`.
        with SHIELD:
            alone = self._lock.acquire(timeout=max(until - time.monotonic(), 0.0))
            try:
                yield alone
            finally:
                if alone and not for_good:
                    self._lock.release()

    def _until(self) -> float:
        if self._end is not None:
            return self._end - _LAST_SECONDS
        if self.forked:
            return time.monotonic() + _FORKED_PATIENCE_SECONDS
        # A reader that has paused delays no further call, or a burst of records would never end.
        return time.monotonic() + (0.0 if self._paused else _PATIENCE_SECONDS)

    def _write(self, line: bytes, until: float) -> bytes:
        """Return what the reader did not take; if that is not all of it, the line has begun."""
        sent = b"\n" + line if self._line_open and not self._torn else line
        rest = timed_write(2, sent, until)
        self._paused = bool(rest) and not self.forked
        if len(rest) == len(sent):
            return line
        self._line_open, self._torn = False, bool(rest)
        return rest

    def _write_now(self, line: bytes, until: float) -> bool:
        rest = self._write(line, until)
        if self._torn:
            self._waiting.appendleft((rest, True))
            self._count(len(rest))
        return self._torn or not rest

    def _write_waiting(self, until: float, lines: float = FOR_EVER) -> bool:
        while self._waiting and lines:
            line, record = self._waiting[0]
            rest = self._write(line, until)
            self._count(len(rest) - len(line))
            if rest:
                self._waiting[0] = rest, record
                return False
            self._waiting.popleft()
            lines -= 1
            if self._finisher not in {None, threading.get_ident()}:
                return False
        return True

    def _wait(self, line: bytes, *, record: bool) -> bool:
        """Take a line, and return True; False when none is taken any more."""
        with self._counting:
            if self._finisher is not None:
                return False
            if self._waiting_bytes + len(line) > _LIMIT_BYTES:
                self._lost += record
            else:
                self._waiting.append((line, record))
                self._waiting_bytes += len(line)
            return True

    def _count(self, more: int) -> None:
        with self._counting:
            self._waiting_bytes += more

    def _become_child(self) -> None:
        self.forked = True
        # A thread of the parent may have held the others.
        self._lock, self._counting, self._sealed = (threading.RLock() for _ in range(3))
        self._waiting.clear()  # the parent writes it
        self._waiting_bytes = self._lost = 0
        self._torn = self._paused = self._line_open = False
        self._finisher = None
        self._end = None
        with suppress(OSError):  # the author has closed it
            os.close(self._stdout)

    def _text_stream(self, stream: TextIO | None, descriptor: int) -> TextIO:
        # A new one: `reconfigure` fails on what was a file at the start, and is a pipe now.
        if stream is not None:
            with suppress(OSError, ValueError):  # closed, by its reader or by the author
                stream.flush()
        buffer = io.BufferedWriter(_SharedFile(descriptor, self))
        return _Printed(self, buffer)


class _Printed(io.TextIOWrapper):
    """`sys.stdout` or `sys.stderr`: UTF-8, lines that end as records do, without secrets."""

    def __init__(self, streams: StandardStreams, buffer: Any) -> None:
        super().__init__(buffer, "utf-8", "backslashreplace", "\n", line_buffering=True)
        self._streams = streams

    def write(self, text: str) -> int:
        """Write *text* with asterisks for the secrets in it."""
        super().write(self._streams.hide(text) if isinstance(text, str) else text)
        return len(text)


class _SharedFile(io.FileIO):
    """Descriptor 1 or 2, as `print` writes to it; it stays open when this is closed."""

    def __init__(self, descriptor: int, streams: StandardStreams) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._streams = streams

    def write(self, data: Any) -> int:
        """Write *data* whole, between two records and not inside one."""
        return self._streams.write_text(data, super().write)


def loading_the_program() -> bool:
    """Tell whether this is called while `__main__` is loaded: by its own imports, or by theirs.

    In a program that only looks at a task's file, a function asks for the import, or another part
    of this package: the command line loads us, too.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way
    while frame is not None:
        module: str = frame.f_globals.get("__name__", "")
        if module == "__main__":
            return frame.f_code.co_name == "<module>"
        if module == "runpy":  # `python -m` imports the packages above the program first
            return frame.f_code.co_name == "_get_module_details"
        importing = module == "epm_task" or module.startswith(("importlib", "_frozen_importlib"))
        if not importing and frame.f_code.co_name not in {"<module>", "exec_module"}:
            return False
        if module.startswith("epm_task.") and not module.startswith("epm_task.runtime."):
            return False
        frame = frame.f_back
    return False


def _flush_text(seconds: float) -> None:
    # What `print` holds back may have no reader, and the handler may hold the stream's lock.
    flushing = threading.Thread(target=_flush_streams, daemon=True)
    with suppress(RuntimeError):  # the system has no room for another thread
        flushing.start()
        flushing.join(seconds)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is None:  # a program without a console, on Windows
            continue
        with suppress(OSError, ValueError):  # closed, by its reader or by the handler
            stream.flush()


def open_missing_descriptors() -> None:
    """Open the null device where stdin, stdout or stderr is closed.

    The next file that is opened would take their place otherwise.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one; Windows counts that of a closed stream as taken.
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, True)  # children need it too
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
