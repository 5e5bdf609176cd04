"""Take the signals that mean "stop" while something runs that must end in good order."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


def stop_signals() -> list[int]:
    """Return the signals that mean "stop": from the keyboard, `kill`, the end of the terminal."""
    always = ("SIGINT", "SIGTERM", "SIGBREAK")
    # `nohup` has one of these ignored, a shell the other one in the background, and they mean it.
    unless_ignored = ("SIGHUP", "SIGQUIT")
    return [
        int(number)
        for name in (*always, *unless_ignored)
        if (number := getattr(signal, name, None)) is not None  # not on every system
        and (name in always or signal.getsignal(number) != signal.SIG_IGN)
    ]


@contextmanager
def stop_signals_to(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Give the signals that mean "stop" to *handler* while the block runs.

    On Windows those of its console are among them, which is held until the process has ended.
    """
    if sys.platform == "win32":
        from epm_task.runtime import console_events  # noqa: PLC0415  # it loads ctypes

        console_events.take_console_events()
    before = {number: signal.signal(number, handler) for number in stop_signals()}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def leave_at_once() -> None:
    """Let Ctrl-C end the process from now on, with 130: nothing has begun that must be cleaned up.

    An exception would be lost, or shown, in the middle of an import.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # `&` in a script ignores it
        signal.signal(signal.SIGINT, _leave)


def raise_again() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again: a verb begins."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    os.write(2, b"epm-task: stopped\n")
    os._exit(128 + number)


class Interruption:
    """Counts the signals that mean "stop"; the exit code is 128 plus the first, as shells have it.

    It does not raise: an exception could come anywhere, such as between the making of a folder and
    the line that remembers it.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin again: what came was meant for somebody else."""
        self.count: int = 0
        self.exit_code: int | None = None

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Count one signal; a handler for `stop_signals_to`."""
        self.count += 1
        if self.exit_code is None:
            self.exit_code = 128 + number

    def take_and_raise(self, number: int, frame: FrameType | None) -> None:
        """Count one signal, and end what the task's own code does at this moment."""
        self.take(number, frame)
        raise KeyboardInterrupt
