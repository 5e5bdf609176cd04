"""An interruption is a signal while something runs that must be ended in good order."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType


def stop_signals() -> list[int]:
    """Return the signals that mean "stop": Ctrl-C, `kill`, and the end of the terminal."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last two: not on every system
    numbers = [int(getattr(signal, name)) for name in names if hasattr(signal, name)]
    # `nohup` has SIGHUP ignored, and means it.
    hangup = getattr(signal, "SIGHUP", None)
    return [n for n in numbers if n != hangup or signal.getsignal(n) != signal.SIG_IGN]


class Interruption:
    """Counts the signals that mean "stop" while a `with` block runs.

    It does not raise: an exception could come anywhere, such as between the making of a folder and
    the line that remembers it.

    Attributes:
        count: How many came.
        exit_code: 128 plus the first one, as shells count; None when none came.
    """

    def __init__(self) -> None:
        self.count = 0
        self.exit_code: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in stop_signals()}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.exit_code is None:
            self.exit_code = 128 + number
