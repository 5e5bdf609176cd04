"""A finished run is all that can be asked about one run of a task under an agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epm_task.simulator.job_run import JobRun
    from epm_task.simulator.log_record import Record
    from epm_task.simulator.run_observer import Registration, RunObserver
    from epm_task.simulator.trace import TraceEvent


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
