"""Keep stdout for the one JSON line that the agent reads; all else goes to stderr."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO, cast

from epm_task.runtime.stop import SHIELD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: A reader that takes nothing for this long is taken for gone.
_PATIENCE_SECONDS: Final = 0.5
#: Time for text without a line end to reach stderr; a reader takes it in microseconds.
_FLUSH_SECONDS: Final = 0.2
#: POSIX: a pipe that poll calls writable takes at least PIPE_BUF bytes, 4096 on Linux.
_CHUNK_BYTES: Final = getattr(select, "PIPE_BUF", 4096)


class StandardStreams:
    """File descriptors 1 and 2 of the process, reserved before any user code runs.

    From then on whatever is written to fd 1, by `print`, C code or a child process, lands on
    stderr; the real stdout is a duplicate that no child inherits.
    """

    def __init__(self) -> None:
        """Reserve fd 1, open closed descriptors, and make both text streams UTF-8."""
        _open_missing_descriptors()
        self._stdout = os.dup(1)
        os.dup2(2, 1)
        self.interactive: Final = os.isatty(2)
        self._lock = threading.Lock()
        self._stderr_dead = False
        self._line_open = False
        sys.stdout = self._text_stream(cast("TextIO | None", sys.stdout), 1)
        sys.stderr = self._text_stream(cast("TextIO | None", sys.stderr), 2)
        if hasattr(os, "register_at_fork"):  # a child must not wait for a lock that a thread held
            os.register_at_fork(after_in_child=self._renew_lock)

    def write_stdout(self, line: bytes) -> bool:
        """Write the result; return False when nobody takes it within half a second."""
        return _write(self._stdout, line)

    def write_stderr(self, line: bytes) -> bool:
        """Write one whole line to stderr; return False when nobody takes it, then and later."""
        with self.undivided():
            if not self._stderr_dead:
                # After `print("…", end="")` a record would not begin a line of its own.
                self._stderr_dead = not _write(2, b"\n" + line if self._line_open else line)
                self._line_open = False
            return not self._stderr_dead

    @contextmanager
    def undivided(self, *, ends_line: bool = True) -> Iterator[None]:
        """Keep every other writer of this process out of a line; wait for that at most 1 s.

        A writer who holds it longer is stuck: a torn line is then better than none.
        """
        with SHIELD:
            alone = self._lock.acquire(timeout=2 * _PATIENCE_SECONDS)
            try:
                yield
            finally:
                self._line_open = not ends_line
                if alone:
                    self._lock.release()

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def _text_stream(self, stream: TextIO | None, descriptor: int) -> TextIO:
        # A new one: `reconfigure` fails on what was a file at the start, and is a pipe now.
        if stream is not None:
            with suppress(OSError, ValueError):  # closed, by its reader or by the author
                stream.flush()
        buffer = io.BufferedWriter(_SharedFile(descriptor, self))
        return io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True)


class _SharedFile(io.FileIO):
    """Descriptor 1 or 2, as `print` writes to it; it stays open when this is closed."""

    def __init__(self, descriptor: int, streams: StandardStreams) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._streams = streams

    def write(self, data: Any) -> int:
        """Write *data* whole, between two records and not inside one."""
        # Around all of it: what the buffer believes to be unwritten would be written again.
        with SHIELD, self._streams.undivided(ends_line=bytes(data[-1:]) == b"\n"):
            return super().write(data)


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
        importing = module == "epm_task" or module.startswith(("importlib", "_frozen_importlib"))
        if not importing and frame.f_code.co_name not in {"<module>", "exec_module"}:
            return False
        if module.startswith("epm_task.") and not module.startswith("epm_task.runtime."):
            return False
        frame = frame.f_back
    return False


def leave(exit_code: int) -> NoReturn:
    """End the process now: no thread can keep it, and nothing is left to flush."""
    # What `print` holds back may have no reader, and the handler may hold the stream's lock.
    flushing = threading.Thread(target=_flush_streams, daemon=True)
    flushing.start()
    flushing.join(_FLUSH_SECONDS)
    os._exit(exit_code)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is None:  # a program without a console, on Windows
            continue
        with suppress(OSError, ValueError):  # closed, by its reader or by the handler
            stream.flush()


def _write(descriptor: int, data: bytes) -> bool:
    view = memoryview(data)
    while view:
        if not _writable(descriptor):
            return False
        try:
            view = view[os.write(descriptor, view[:_CHUNK_BYTES]) :]
        except BlockingIOError:  # somebody else made the shared pipe non-blocking
            time.sleep(0.001)
        except OSError:
            return False
    return True


def _writable(descriptor: int) -> bool:
    if os.name != "posix":
        return True  # Windows cannot wait for a pipe; its writes block until the reader takes them
    poll = select.poll()  # unlike select() it takes descriptors above 1023
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(_PATIENCE_SECONDS * 1000))


def _open_missing_descriptors() -> None:
    # With fd 1 or 2 closed, the next file that is opened would become stdout or stderr.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system takes the lowest free number, which is this one; children need it too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
