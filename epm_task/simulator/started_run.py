"""A started run goes on in the background while its starter does something else."""

from __future__ import annotations

import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any

from epm_task.simulator.finished_run import finish

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from epm_task.simulator.finished_run import Run
    from epm_task.simulator.local_agent import LocalAgent
    from epm_task.simulator.loop_thread import LoopThread
    from epm_task.simulator.process import TaskProcess
    from epm_task.simulator.run_observer import RunObserver

#: How long a process may take to be started on a busy machine.
_START_SECONDS = 10.0


class StartedRun:
    """One run in the background; made by `Agent.start`.

    Args:
        future: Becomes the finished run.
        observer: What the agent sees of the run.
        loop: The thread in which the agent runs.
    """

    def __init__(self, future: Future[Run], observer: RunObserver, loop: LoopThread) -> None:
        """Remember what belongs to the run."""
        self._future = future
        self._observer = observer
        self._loop = loop

    @property
    def pid(self) -> int:
        """PID of the process that runs now, waited for when it is just being started.

        Raises:
            RuntimeError: No process was started.
        """
        return self._process().pid

    @property
    def running(self) -> bool:
        """Whether the run goes on."""
        return not self._future.done()

    def wait(self, timeout: float | None = None) -> Run:
        """Wait for the end; return the finished run.

        Args:
            timeout: Seconds to wait; the run goes on after that.

        Raises:
            TimeoutError: It did not end in time.
        """
        return self._future.result(timeout)

    def terminate(self) -> None:
        """Send SIGTERM (Windows: CTRL_BREAK) to the process and its group."""
        self._loop.call_plain(self._process().ask_to_stop)

    def kill(self) -> None:
        """Kill the process and its group."""
        self._loop.call_plain(self._process().kill)

    def _process(self) -> TaskProcess:
        deadline = time.monotonic() + _START_SECONDS
        while self._observer.process is None and time.monotonic() < deadline:
            try:
                self._future.result(0.005)
            except FutureTimeoutError:
                continue
            break
        if self._observer.process is None:
            raise RuntimeError("no process was started; the run's trace says why")
        return self._observer.process


def begin_run(
    agent: tuple[LocalAgent, LoopThread],
    document: Mapping[str, Any],
    observer: RunObserver,
    **words: Any,
) -> StartedRun:
    """Start a run of a job document in the agent's thread.

    Args:
        agent: The agent, and the thread in which it runs.
        document: The job.
        observer: Collects what the agent sees of the run.
        **words: As for `LocalAgent.run_job`.
    """
    local, loop = agent

    async def run() -> Run:
        return finish(await local.run_job(document, observer=observer, **words), observer)

    return StartedRun(loop.submit(run()), observer, loop)
