"""A broker switch takes the broker down and up again, from any thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from epm_task.simulator.broker import Broker

#: Longer than the broker waits for its clients.
_SWITCH_SECONDS: Final = 10.0


class BrokerSwitch:
    """The switch of one broker; made in the thread of the broker's event loop.

    Args:
        broker: The broker.
    """

    def __init__(self, broker: Broker) -> None:
        """Remember the loop."""
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._bounces: set[asyncio.Task[None]] = set()

    def down(self) -> None:
        """Close the port and every connection; return when that is done."""
        self._wait_for(self._broker.go_down())

    def up(self) -> None:
        """Listen on the same port again; return when that is done."""
        self._wait_for(self._broker.start())

    def bounce(self, seconds: float) -> None:
        """Take the broker down, and up again after *seconds*, without waiting for it."""
        self._loop.call_soon_threadsafe(self._begin_bounce, seconds)

    async def stop(self) -> None:
        """Forget the bounces that have not ended."""
        for task in self._bounces:
            task.cancel()
        await asyncio.gather(*self._bounces, return_exceptions=True)

    def _begin_bounce(self, seconds: float) -> None:
        task = self._loop.create_task(self._bounce(seconds))
        self._bounces.add(task)
        task.add_done_callback(self._bounces.discard)

    async def _bounce(self, seconds: float) -> None:
        await self._broker.go_down()
        await asyncio.sleep(seconds)
        await self._broker.start()

    def _wait_for(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_SWITCH_SECONDS)
