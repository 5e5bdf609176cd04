"""Keep the runs of the agent: those that go on, and a line in `Log/runs.jsonl` for each end."""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.record import Record
from epm_task.contract.run_history import EndedRun, TaskEnd, write_run
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.simulator.jobs.observer import RunObserver
from epm_task.simulator.keeper_logger import RotatingFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from epm_task.simulator.broker import Message
    from epm_task.simulator.jobs.run import JobRun, TaskRun
    from epm_task.simulator.jobs.task import RunOptions
    from epm_task.simulator.keeper_logger import KeeperLogger
    from epm_task.simulator.trace import Trace, TraceEvent


class RunHistory:
    """Append one line per run.

    Args:
        path: The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        """Open the file for appending."""
        self._file = RotatingFile(path)

    def append(self, run: JobRun, denials: Iterable[TraceEvent]) -> None:
        """Write the line of a run that has ended, with what was refused meanwhile."""
        ended = EndedRun(
            run.run_id,
            run.job_id,
            run.exit_code,
            run.seconds,
            ended=datetime.now(UTC).isoformat(timespec="milliseconds"),
            skipped=run.skipped,
            problem=run.problem,
            denials=tuple(str(event) for event in denials),
            result=run.result,
        )
        tasks = [_task_end(task) for task in run.tasks]
        self._file.append(write_run(ended, trigger=run.trigger, tasks=tasks))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _task_end(task: TaskRun) -> TaskEnd:
    return {
        "id": task.task_id,
        "pid": task.pid,
        "exitCode": task.exit_code,
        "seconds": round(task.seconds, 3),
        "timedOut": task.timed_out,
        "skipped": task.skipped,
        "leftBehind": task.left_behind,
        "stdoutBytes": len(task.stdout) + task.stdout_dropped,
        "stderrBytes": len(task.stderr) + task.stderr_dropped,
    }


#: Runs that are remembered with their outputs, at most 2 MiB each; the history file has all.
_REMEMBERED: Final = 50


class RunWatch:
    """The runs of one agent: those that go on, and the last that ended.

    Args:
        trace: Every decision; the watch listens to it until `close`.
        logger: Takes the messages of KeeperLogger.
        history: Takes one line per run.
    """

    def __init__(self, trace: Trace, logger: KeeperLogger, history: RunHistory) -> None:
        """Listen to the trace."""
        self._trace = trace
        self._logger = logger
        self._history = history
        self._observers: dict[str, RunObserver] = {}
        self.ended: deque[JobRun] = deque(maxlen=_REMEMBERED)
        self._unsubscribe = trace.subscribe(self._event)

    def close(self) -> None:
        """Listen no more."""
        self._unsubscribe()

    @property
    def idle(self) -> bool:
        """Whether no run goes on."""
        return not self._observers

    def begin(
        self,
        job: Mapping[str, Any],
        *,
        options: RunOptions,
        observer: RunObserver | None = None,
    ) -> tuple[str, RunOptions]:
        """Return the id of a run that begins, and *options* with the observer in them."""
        run_id = uuid.uuid4().hex
        observer = observer or RunObserver(str(job.get("id", "")), keep=False)
        self._observers[run_id] = observer
        return run_id, replace(options, on_line=observer.line, on_start=observer.started)

    async def end(self, run: JobRun) -> None:
        """Take a run whose processes have ended."""
        observer = self._observers.get(run.run_id)
        if observer is not None:
            await observer.last_words()
        self._observers.pop(run.run_id, None)
        self.ended.append(run)
        try:
            self._history.append(run, observer.denials if observer else [])
        except OSError as error:
            self._trace.add(
                "job", "not_written", "the run history was not written", reason=str(error)
            )

    def forget(self, run_id: str) -> None:
        """Drop a run that was cancelled; nothing happens when it has ended."""
        self._observers.pop(run_id, None)

    def message(self, message: Message) -> None:
        """Take a message that the broker let through."""
        if message.topic != KEEPER_LOGGER:
            return
        record = Record.from_payload(message.payload)
        try:
            self._logger.write(message, record)
        except OSError as error:
            self._trace.add(
                "mqtt", "not_written", "KeeperLogger.log was not written", reason=str(error)
            )
        if observer := self._observers.get(message.run_id or ""):
            observer.record(record)
        self._trace.add(
            "record",
            "logged",
            f"{record.level}: {record.message}",
            job_id=message.job_id,
            run_id=message.run_id,
            level=record.level,
        )

    def _event(self, event: TraceEvent) -> None:
        # Records come to their run by its id; looking at 64 runs for each of them would cost.
        if event.kind != "record":
            for observer in tuple(self._observers.values()):
                observer.event(event)
