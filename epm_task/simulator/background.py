"""Run an agent's event loop in a thread of its own, and hold a run that goes on there."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import threading
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Final, TypeVar

from epm_task.errors import EpmTaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from epm_task.simulator.jobs.run import LiveRun, Run
    from epm_task.simulator.processes.process import TaskProcess

Result = TypeVar("Result")

#: How long a process may take to be started on a busy machine.
_START_SECONDS: Final = 10.0

#: How often who waits looks whether Ctrl-C was pressed, on Windows.
_LOOK_SECONDS: Final = 0.1


class LoopThread:
    """An event loop in a daemon thread called *name*."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run *coroutine* in the loop and return its result; cancel it when the wait is cut off."""
        future = self.submit(coroutine)
        try:
            return _result(future)
        except BaseException:
            future.cancel()
            raise

    def submit(self, coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Run *coroutine* in the loop, without waiting for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call_plain(self, function: Callable[[], Result]) -> Result:
        """Run a plain function in the loop's thread and return its result."""

        async def _call() -> Result:
            return function()

        return self.call(_call())

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


def _result(future: Future[Result], timeout: float | None = None) -> Result:
    """Return what *future* has in the end, as its own method does."""
    if sys.platform == "win32":  # there Ctrl-C interrupts nobody who waits for a lock
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        while not future.done() and (timeout := deadline - time.monotonic()) > 0:
            wait((future,), min(timeout, _LOOK_SECONDS))
        timeout = 0
    return future.result(timeout)


class NoProcess(EpmTaskError, RuntimeError):
    """No process was started for a run."""

    def __init__(self) -> None:
        super().__init__("no process was started", fix="see the run's trace: it says why")


class StartedRun:
    """One run in the background; made by `Agent.start`."""

    def __init__(self, live: LiveRun, future: Future[Run], loop: LoopThread) -> None:
        self._live = live
        self._future = future
        self._loop = loop

    @property
    def pid(self) -> int:
        """PID of the process that runs now, waited for when it is just being started.

        Raises:
            NoProcess: No process was started.
        """
        return self._process().pid

    @property
    def running(self) -> bool:
        """Whether the run goes on."""
        return not self._future.done()

    def wait(self, timeout: float | None = None) -> Run:
        """Wait for the end; return the finished run.

        Raises:
            TimeoutError: It did not end within *timeout* seconds; it goes on.
        """
        return _result(self._future, timeout)

    def terminate(self) -> None:
        """Send SIGTERM (Windows: CTRL_BREAK) to the process and its group."""
        self._loop.call_plain(self._process().ask_to_stop)

    def interrupt(self) -> None:
        """Send SIGINT (Windows: CTRL_BREAK) to the process and its group, as Ctrl-C does."""
        self._loop.call_plain(self._process().interrupt)

    def kill(self) -> None:
        """Kill the process and its group."""
        self._loop.call_plain(self._process().kill)

    def _process(self) -> TaskProcess:
        deadline = time.monotonic() + _START_SECONDS
        while self._live.process is None and self.running and time.monotonic() < deadline:
            time.sleep(0.005)
        if self._live.process is None:
            raise NoProcess
        return self._live.process
