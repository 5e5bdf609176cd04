"""Take the signals that mean "stop" while something runs that must end in good order."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


def stop_signals() -> list[int]:
    """Return the signals that mean "stop": Ctrl-C, `kill`, and the end of the terminal."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last two: not on every system
    numbers = [int(getattr(signal, name)) for name in names if hasattr(signal, name)]
    # `nohup` has SIGHUP ignored, and means it.
    hangup = getattr(signal, "SIGHUP", None)
    return [n for n in numbers if n != hangup or signal.getsignal(n) != signal.SIG_IGN]


@contextmanager
def stop_signals_to(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Give the signals that mean "stop" to *handler* while the block runs."""
    before = {number: signal.signal(number, handler) for number in stop_signals()}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


class Interruption:
    """Counts the signals that mean "stop"; the exit code is 128 plus the first, as shells have it.

    It does not raise: an exception could come anywhere, such as between the making of a folder and
    the line that remembers it.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin again: what came was meant for somebody else."""
        self.count = 0
        self.exit_code: int | None = None

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Count one signal; a handler for `stop_signals_to`."""
        self.count += 1
        if self.exit_code is None:
            self.exit_code = 128 + number
