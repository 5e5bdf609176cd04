"""Keep the runs that go on, and write a line of `Log/runs.jsonl` for each that has ended."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.record import Record
from epm_task.contract.run_history import EndedRun, FailedTask, TaskEnd, read_run, write_run
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.simulator.jobs.run import SHOWN_MESSAGES
from epm_task.simulator.keeper_logger import RotatingFile
from epm_task.simulator.recording import mask_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from epm_task.simulator.broker import Message
    from epm_task.simulator.jobs.run import LiveRun, Publication, Run, RunObserver, TaskRun
    from epm_task.simulator.keeper_logger import KeeperLogger
    from epm_task.simulator.trace import Trace, TraceEvent

#: Runs that are remembered with their outputs, at most 2 MiB each; the file has all.
_REMEMBERED: Final = 50
_START_LOGGER: Final = "POST /api/plugins/KeeperLogger/start"


class RunHistory:
    """The runs of one agent.

    *path* gets one JSON line for each run, *logger* the records of all; every decision of *trace*
    that concerns a run is given to it.

    Attributes:
        ended: The last runs that have ended, the oldest first, without records and decisions.
    """

    def __init__(self, path: Path, logger: KeeperLogger, trace: Trace) -> None:
        self._file = RotatingFile(path)
        self._logger = logger
        self._trace = trace
        self._live: dict[str, LiveRun] = {}
        #: Called with each run that has ended.
        self.on_end: Callable[[EndedRun], None] | None = None
        self.observer: RunObserver | None = None  #: Told of each run that begins from now on.
        self._unheard: set[str | None] = set()
        self.ended: deque[Run] = deque(maxlen=_REMEMBERED)
        self._unsubscribe = trace.subscribe(self._event)

    def close(self) -> None:
        """Close the file."""
        self._unsubscribe()
        self._file.close()

    @property
    def live(self) -> list[LiveRun]:
        """The runs that go on."""
        return list(self._live.values())

    def job_of(self, run_id: str | None) -> Mapping[str, Any] | None:
        """Return the document of a run that goes on; None for another one."""
        live = self._live.get(run_id or "")
        return live.job if live else None

    def begin(self, live: LiveRun) -> None:
        """Take a run that begins."""
        self._live[live.run.run_id] = live
        if self.observer:
            live.observer = self.observer
            self.observer.begin(live)

    async def end(self, live: LiveRun) -> None:
        """Take a run whose processes have ended."""
        try:
            await live.end()
        finally:
            self.forget(live)
        self.ended.append(replace(live.run, records=[], messages=[], trace=[]))
        run = ended_run(live.run)
        tasks = [_task_end(task) for task in live.run.tasks]
        written = write_run(run, tasks).decode()
        line = self._trace.secrets.hide_json(written).encode()
        try:
            self._file.append(line)
        except OSError as error:
            what = "the run history was not written"
            self._trace.add("job", "not_written", what, reason=str(error))
        if self.on_end:
            self.on_end(read_run(line) or run)  # as it is written: without secrets

    def forget(self, live: LiveRun) -> None:
        """Drop a run that was cancelled; nothing happens when it has ended."""
        if self._live.pop(live.run.run_id, None) and live.observer:
            live.observer.end(live)

    def message(self, message: Message) -> None:
        """Take a message that the broker let through."""
        live = self._live.get(message.run_id or "")
        if message.topic != KEEPER_LOGGER:
            if live:
                live.message(message.topic, message.payload)
            return
        record = Record.from_payload(message.payload)
        if live:
            live.record(record)
        if self._logger.stopped:
            self._note_stopped(message)
            return
        self._unheard.clear()
        try:
            self._logger.write(message, record)
        except OSError as error:
            what = "KeeperLogger.log was not written"
            self._trace.add("mqtt", "not_written", what, reason=str(error))
        self._trace.add(
            "record",
            "logged",
            f"{record.level}: {record.message}",
            job_id=message.job_id,
            run_id=message.run_id,
            level=record.level,
        )

    def _note_stopped(self, message: Message) -> None:
        """Say once for each run that nobody writes its records; the broker takes them as before."""
        if message.run_id in self._unheard:
            return
        self._unheard.add(message.run_id)
        self._trace.add(
            "mqtt",
            "dropped",
            f"records of job {message.job_id} are not written to KeeperLogger.log",
            denied=True,
            reason=f"the plugin KeeperLogger is stopped: {_START_LOGGER}",
            fix=_START_LOGGER,
            job_id=message.job_id,
            run_id=message.run_id,
        )

    def _event(self, event: TraceEvent) -> None:
        # Looking at each of 128 runs that go on for every event would cost more than the event.
        run_id = event.facts.get("run_id")
        if run_id is None:
            for live in self.live:
                live.event(event)
        elif event.kind != "record" and (own := self._live.get(str(run_id))):
            own.event(event)


def ended_run(run: Run) -> EndedRun:
    """Return how a run has ended, without its outputs."""
    return EndedRun(
        run.run_id,
        run.job_id,
        run.exit_code,
        run.seconds,
        ended=datetime.now(UTC).isoformat(timespec="milliseconds"),
        skipped=run.skipped,
        problem=run.problem,
        timed_out=run.timed_out,
        failures=tuple(
            FailedTask(task.task_id, task.exit_code, task.start_error, task.stderr_tail)
            for task in run.tasks
            if task.exit_code
        ),
        denials=tuple(str(event) for event in run.denials),
        result=run.result,
        trigger=run.trigger,
        context=mask_value(dict(run.context)),
        records=run.acknowledged,
        record_runs=tuple(run.record_runs),
        published=run.published,
        messages=tuple(map(_shown, run.messages[:SHOWN_MESSAGES])),
        tries=run.registration.tries,
        registered_seconds=run.registration.seconds,
    )


def _shown(message: Publication) -> dict[str, Any]:
    masked = message._replace(payload=mask_value(message.payload))
    return {"topic": masked.topic, "payload": masked.cut() or masked.payload}


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
        "stderrTail": task.stderr_tail,
        "startError": task.start_error._asdict() if task.start_error else None,
    }
