"""Write to a pipe for a limited time, because its reader may pause.

POSIX tells whether a pipe has room; Windows does not, and a write that takes too long is cancelled.
"""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import suppress
from typing import Final

#: As long as it takes.
FOR_EVER: Final = float("inf")
#: Larger ones are for root: /proc/sys/fs/pipe-max-size.
LARGEST_PIPE: Final = 1024 * 1024
#: POSIX: a pipe that poll calls writable takes at least PIPE_BUF bytes, 4096 on Linux. On Windows a
#: pipe holds as much, so that its reader never has a part of a write that is cancelled.
_PIECE_BYTES: Final = getattr(select, "PIPE_BUF", 4096)


def timed_write(descriptor: int, data: bytes, until: float) -> bytes:
    """Return what the reader has not taken at *until*, a monotonic time, or when it is gone."""
    view = memoryview(data)
    while view and _writable(descriptor, until):
        try:
            view = view[_write(descriptor, view[:_PIECE_BYTES], until) :]
        except BlockingIOError:  # somebody else made the shared pipe non-blocking
            if time.monotonic() >= until:
                break
            time.sleep(0.001)
        except OSError:
            break
    return bytes(view)


def make_room(descriptor: int, count: int, limit: int = LARGEST_PIPE) -> None:
    """Let a pipe take *count* bytes at once, on Linux: then its reader may pause."""
    if sys.platform == "linux" and count:
        import fcntl  # noqa: PLC0415  # POSIX only

        with suppress(OSError):  # no pipe, or this user has too many large ones
            size = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
            wanted = min(size + 2 * count, limit)  # two short writes may take two pages
            if wanted > size:
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, wanted)


def _writable(descriptor: int, until: float) -> bool:
    if sys.platform == "win32":
        return True
    poll = select.poll()  # unlike select() it takes descriptors above 1023
    poll.register(descriptor, select.POLLOUT)
    if poll.poll(0):
        return True
    left = until - time.monotonic()
    return left > 0 and bool(poll.poll(None if left == FOR_EVER else left * 1000))


def _write(descriptor: int, piece: memoryview, until: float) -> int:
    if sys.platform == "win32":
        from epm_task.runtime.write_limit import limited_write  # noqa: PLC0415  # it loads ctypes

        return limited_write(descriptor, piece, until)
    return os.write(descriptor, piece)
