"""Cancel a write of this process that takes too long; only Windows can import this.

Its pipes cannot be asked whether they have room: a write begins, and a thread cancels it. The calls
are those of learn.microsoft.com, "Canceling Pending I/O Operations".
"""

from __future__ import annotations

import _thread
import ctypes
import os
import sys
import threading
import time
from contextlib import suppress
from ctypes import wintypes
from typing import Final

assert sys.platform == "win32"  # noqa: S101  # mypy reads it

#: A write may take so much longer than it should.
_TICK_SECONDS: Final = 0.05
#: A write that has no time is tried again so late after one that was cancelled: it takes a tick.
_RETRY_SECONDS: Final = 0.5
#: After a second without any write nobody watches.
_IDLE_TICKS: Final = 20
#: winnt.h has this number.
_THREAD_TERMINATE: Final = 0x1

_kernel32 = ctypes.WinDLL("kernel32")
_open_thread = _kernel32.OpenThread
_open_thread.restype = wintypes.HANDLE
_open_thread.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
_cancel = _kernel32.CancelSynchronousIo
_cancel.restype, _cancel.argtypes = wintypes.BOOL, (wintypes.HANDLE,)
_close_handle = _kernel32.CloseHandle
_close_handle.restype, _close_handle.argtypes = wintypes.BOOL, (wintypes.HANDLE,)

_lock: Final = threading.RLock()
#: Threads that write, by their ids, and until when.
_writes: list[tuple[int, float]] = []
#: When the last write was cancelled, by descriptor; none has succeeded since.
_cancelled: dict[int, float] = {}


class _Watch:
    """What the threads that write tell the one that watches them."""

    #: Whether there is such a thread.
    on = False
    #: Whether anything was written since it last looked.
    used = False


def limited_write(descriptor: int, piece: memoryview, until: float) -> int:
    """Write a piece that a pipe can hold, and return how many bytes were written.

    Raises:
        OSError: Its reader is gone, or has not taken it at *until*, a monotonic time.
    """
    if until <= time.monotonic() < _cancelled.get(descriptor, 0.0) + _RETRY_SECONDS:
        raise TimeoutError
    writing = threading.get_native_id(), until
    with _lock:
        _writes.append(writing)
        _Watch.used = True
        if not _Watch.on:
            with suppress(RuntimeError):  # the system has no room for another thread
                _thread.start_new_thread(_watch, ())
                _Watch.on = True
    try:
        written = os.write(descriptor, piece)
    except OSError:
        if until <= time.monotonic():
            _cancelled[descriptor] = time.monotonic()
        raise
    finally:
        with _lock:
            _writes.remove(writing)
    _cancelled.pop(descriptor, None)
    return written


def _watch() -> None:
    idle = 0
    while idle < _IDLE_TICKS:
        time.sleep(_TICK_SECONDS)
        with _lock:
            idle = 0 if _Watch.used else idle + 1
            _Watch.used = bool(_writes)
            _Watch.on = idle < _IDLE_TICKS
            now = time.monotonic()
            for thread, until in _writes:
                if until <= now:
                    _cancel_write(thread)


def _cancel_write(thread: int) -> None:
    # It may not have begun yet, or have ended: the next tick tries it again.
    if handle := _open_thread(_THREAD_TERMINATE, False, thread):
        _cancel(handle)
        _close_handle(handle)
