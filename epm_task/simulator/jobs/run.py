"""A job run is what came of one trigger of a job."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class TaskRun:
    """What came of one task of a job run.

    Attributes:
        task_id: Id of the task in the job document.
        pid: PID of the process; None when none was started.
        exit_code: Negative for a signal; 127: the program was not found, 126: it could not start.
        seconds: Wall time.
        stdout: What was captured of stdout.
        stderr: What was captured of stderr.
        stdout_dropped: Bytes of stdout beyond the cap.
        stderr_dropped: Bytes of stderr beyond the cap.
        result: The JSON object that the task printed, when it printed one.
        timed_out: Whether the agent ended it at `timeoutSeconds`.
        left_behind: Processes that the task left running; the agent ended them.
        skipped: Why the task was not run; empty when it was.
    """

    task_id: str
    pid: int | None = None
    exit_code: int = 0
    seconds: float = 0.0
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    result: dict[str, object] | None = None
    timed_out: bool = False
    left_behind: int = 0
    skipped: str = ""


@dataclass(slots=True)
class JobRun:
    """What came of one trigger of a job.

    Attributes:
        run_id: Unique text of this run.
        job_id: Id of the job that ran.
        trigger: What made it run: `Startup`, `interval`, `cron`, `trigger`, `run`, …
        tasks: The tasks that were reached, in order.
        seconds: Wall time.
        skipped: Why nothing was run; empty when something was.
        problem: Why the run failed before its first task; empty when it did not.
    """

    run_id: str
    job_id: str
    trigger: str
    tasks: list[TaskRun] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""
    problem: str = ""

    @property
    def exit_code(self) -> int:
        """The first that is not 0, else 0; 1 when the run failed before its first task."""
        return next(
            (task.exit_code for task in self.tasks if task.exit_code), int(bool(self.problem))
        )

    @property
    def result(self) -> dict[str, object] | None:
        """The result of the last task that printed one."""
        return next((task.result for task in reversed(self.tasks) if task.result is not None), None)
