"""Take the events of a Windows console that mean "stop"; only Windows can import this.

Python's own handler makes SIGINT of Ctrl-C and SIGBREAK of every other event, with two faults that
are mended here. The system ends the process as soon as a handler of a closed console, or of the
shutdown, has returned. And a service is told when any user logs off, which does not concern it.

The events are those of learn.microsoft.com, "HandlerRoutine callback function".
"""

from __future__ import annotations

import _thread
import ctypes
import signal
import sys
from ctypes import wintypes
from typing import Final

assert sys.platform == "win32"  # noqa: S101  # mypy reads it

# wincon.h and winbase.h have these numbers.
_CTRL_C: Final = 0
_CTRL_BREAK: Final = 1
_LOGOFF: Final = 5
_INFINITE: Final = 0xFFFFFFFF

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_Handler = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)
_sleep = _kernel32.Sleep
_sleep.restype, _sleep.argtypes = None, (wintypes.DWORD,)
_set_handler = _kernel32.SetConsoleCtrlHandler
_set_handler.restype, _set_handler.argtypes = wintypes.BOOL, (_Handler, wintypes.BOOL)
_set_event = _kernel32.SetEvent
_set_event.restype, _set_event.argtypes = wintypes.BOOL, (wintypes.HANDLE,)
#: What a sleep of the main thread waits for, too. The interpreter sets it at SIGINT.
_interrupted = ctypes.pythonapi._PyOS_SigintEvent  # noqa: SLF001  # `multiprocessing` asks for it, too
_interrupted.restype, _interrupted.argtypes = wintypes.HANDLE, ()


def interrupt_main_thread(number: signal.Signals) -> None:
    """Let the main thread serve a signal, and end its sleep, from another thread.

    The C library is not asked to raise it: while it calls the handler of a signal it has put the
    default in its place, and the same signal out of two threads at once could end the process.
    """
    _thread.interrupt_main(number)
    _set_event(_interrupted())


def _on_event(event: int) -> bool:
    """Take an event in a thread that the system has made for it; return whether it is served."""
    if event == _LOGOFF:
        return True
    if event == _CTRL_C or signal.getsignal(signal.SIGBREAK) == signal.SIG_DFL:
        return False
    _thread.interrupt_main(signal.SIGBREAK)
    if event != _CTRL_BREAK:
        # The process ends meanwhile, in good order, or the system ends it: after 5 s when the
        # console is closed. Without the interpreter's lock, so that nothing can wait for it.
        _sleep(_INFINITE)
    return True


#: What the system calls; it must live as long as the process.
_handler: Final = _Handler(_on_event)
_taken: list[bool] = []


def take_console_events() -> None:
    """Let SIGBREAK come for all events that mean "stop" but Ctrl-C, and hold the process's end.

    Raises:
        OSError: The system does not take the handler.
    """
    if not _taken:
        if not _set_handler(_handler, True):
            raise ctypes.WinError(ctypes.get_last_error())
        _taken.append(True)
