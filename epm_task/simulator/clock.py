"""A clock tells the scheduler the time, and can be moved forward by a test."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE: Final = timedelta(minutes=1)


class Clock:
    """The time of one agent: the machine's own, plus what it was moved by.

    Args:
        start: The moment at which the clock starts; now when None.
        seconds: The machine's time in Unix seconds.
    """

    def __init__(
        self, start: datetime | None = None, *, seconds: Callable[[], float] = time.time
    ) -> None:
        """Set the clock."""
        self._seconds = seconds
        self._moved = timedelta()
        self._listeners: list[Callable[[datetime], None]] = []
        if start is not None:
            self._moved = start.astimezone(UTC) - self.now()

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.fromtimestamp(self._seconds(), UTC) + self._moved

    def on_minute(self, listener: Callable[[datetime], None]) -> None:
        """Call *listener* with each full minute that `advance` passes."""
        self._listeners.append(listener)

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Move the clock forward through every full minute on the way.

        Raises:
            ValueError: The step leads back.
        """
        step = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if step < timedelta():
            raise ValueError("a clock is moved forward only")
        target = self.now() + step
        while (minute := full_minute(self.now()) + _MINUTE) <= target:
            self._move_to(minute)
            for listener in self._listeners:
                listener(minute)
        self._move_to(target)

    def _move_to(self, moment: datetime) -> None:
        self._moved += max(timedelta(), moment - self.now())


def full_minute(moment: datetime) -> datetime:
    """Return the start of the minute in which *moment* lies."""
    return moment.replace(second=0, microsecond=0)
