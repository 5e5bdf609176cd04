"""A loop thread runs one asyncio event loop beside the thread that made it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future
    from typing import Any

Result = TypeVar("Result")


class LoopThread:
    """An event loop in a daemon thread.

    Args:
        name: Name of the thread, for debuggers.
    """

    def __init__(self, name: str) -> None:
        """Start the loop."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(
        self, coroutine: Coroutine[Any, Any, Result], *, timeout_seconds: float | None = None
    ) -> Result:
        """Run *coroutine* in the loop and return its result; cancel it when the wait is cut off.

        Raises:
            TimeoutError: It took longer than *timeout_seconds*.
        """
        future = self.submit(coroutine)
        try:
            return future.result(timeout_seconds)
        except BaseException:
            future.cancel()
            raise

    def submit(self, coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Run *coroutine* in the loop, without waiting for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call_plain(self, function: Callable[[], Result]) -> Result:
        """Run a plain function in the loop's thread and return its result."""

        async def run() -> Result:
            return function()

        return self.call(run())

    def stop(self) -> None:
        """Cancel what still runs, close the loop, and end the thread."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._wind_up())

    async def _wind_up(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
