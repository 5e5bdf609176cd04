"""The agent's clock, seen from a test: it can be moved while the agent runs in its own thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from epm_task.simulator.clock import Clock
    from epm_task.simulator.loop_thread import LoopThread


class AgentClock:
    """The clock of one embedded agent.

    Args:
        clock: The clock that the scheduler reads.
        loop: The thread in which the agent runs.
    """

    def __init__(self, clock: Clock, loop: LoopThread) -> None:
        """Remember both."""
        self._clock = clock
        self._loop = loop

    def now(self) -> datetime:
        """Return the agent's time, in UTC."""
        return self._clock.now()

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Move the clock forward; when this returns, every job that became due was started.

        Raises:
            ValueError: The step leads back.
        """
        step = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
        self._loop.call_plain(partial(self._clock.advance, **step))
