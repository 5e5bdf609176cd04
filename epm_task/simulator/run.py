"""A started run goes on in the background while its starter does something else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from concurrent.futures import Future

    from epm_task.contract.record import Record
    from epm_task.simulator.agent import LocalAgent
    from epm_task.simulator.jobs.observer import Registration, RunObserver
    from epm_task.simulator.jobs.run import JobRun
    from epm_task.simulator.processes.process import TaskProcess
    from epm_task.simulator.trace import TraceEvent


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


@dataclass(frozen=True, slots=True)
class Run:
    """What one run did, and what the agent saw of it.

    Attributes:
        exit_code: The first that is not 0, else 0; negative for a signal.
        result: The JSON object that the task printed, or None.
        stdout: What was captured of stdout, of the last task of the job.
        stderr: What was captured of stderr, of the last task of the job.
        records: The records that came over the broker, or on stderr only, each once.
        denials: What the agent refused; mostly the task cannot see it.
        registration: How often the task asked until it was registered, and how long that took.
        acknowledged: Records that the broker accepted.
        seconds: Wall time.
        trace: The agent's decisions that concern this run.
        job_run: The run as the job runner saw it, task by task.
    """

    exit_code: int
    result: dict[str, Any] | None
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    records: list[Record] = field(repr=False)
    denials: list[TraceEvent]
    registration: Registration
    acknowledged: int
    seconds: float
    trace: list[TraceEvent] = field(repr=False)
    job_run: JobRun = field(repr=False)

    @property
    def timed_out(self) -> bool:
        """Whether the agent ended a task at its time-out."""
        return any(task.timed_out for task in self.job_run.tasks)

    @property
    def pid(self) -> int | None:
        """PID of the last process; None when none was started."""
        return next((task.pid for task in reversed(self.job_run.tasks) if task.pid), None)


def finish(job_run: JobRun, observer: RunObserver) -> Run:
    """Return the finished run of what job runner and observer have collected."""
    last = next((task for task in reversed(job_run.tasks) if not task.skipped), None)
    return Run(
        job_run.exit_code,
        job_run.result,
        last.stdout if last else b"",
        last.stderr if last else b"",
        _in_order(observer.records),
        observer.denials,
        observer.registration,
        observer.acknowledged,
        job_run.seconds,
        list(observer.events),
        job_run,
    )


def _in_order(records: list[Record]) -> list[Record]:
    """Sort the records of one process by their number: one on stderr may come before older ones."""
    if len({record.run_id for record in records}) != 1 or any(r.seq is None for r in records):
        return list(records)
    return sorted(records, key=lambda record: record.seq or 0)


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
