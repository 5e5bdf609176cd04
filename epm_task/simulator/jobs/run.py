"""What a run of a job is started with, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from epm_task.contract.record import Record
    from epm_task.simulator.trace import TraceEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What the starter of a run asks for beside the job document.

    Attributes:
        trigger: What makes it run: `Startup`, `interval`, `cronExpression`, `trigger`, `run`, ….
        context: Event context; its fields are tokens.
        registration_delay: Seconds between the start of a process and its registration.
        env: Environment variables beside those that the agent passes on.
        cwd: Working directory; the agent's root when None.
        on_line: Called with `stdout` or `stderr` and each line as it is written.
        on_record: Called with each record once, as it comes.
    """

    trigger: str = "trigger"
    context: Mapping[str, object] = field(default_factory=dict)
    registration_delay: float = 0.0
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    on_line: Callable[[str, bytes], None] | None = None
    on_record: Callable[[Record], None] | None = None


@dataclass(slots=True)
class TaskRun:
    """What came of one task of a run.

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
    result: dict[str, Any] | None = None
    timed_out: bool = False
    left_behind: int = 0
    skipped: str = ""


@dataclass(slots=True)
class Registration:
    """How a process came to its Plugin tier.

    Attributes:
        tries: Requests to the Plugin Settings API up to the first that was served.
        seconds: From the start of the process to that request; None when none was served.
    """

    tries: int = 0
    seconds: float | None = None


@dataclass(slots=True)
class Run:
    """What one run of a job did, and what the agent saw of it.

    Attributes:
        run_id: Unique text of this run.
        job_id: Id of the job that ran.
        trigger: What made it run.
        tasks: The tasks that were reached, in order.
        seconds: Wall time.
        skipped: Why nothing was run; empty when something was.
        problem: Why the run failed before its first task; empty when it did not.
        records: The records that came over the broker, or on stderr only, each once.
        acknowledged: Records that the broker accepted.
        denials: What the agent refused; mostly the task cannot see it.
        registration: How often the task asked until it was registered, and how long that took.
        trace: The agent's decisions that concern this run.
    """

    run_id: str
    job_id: str
    trigger: str
    tasks: list[TaskRun] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""
    problem: str = ""
    records: list[Record] = field(default_factory=list, repr=False)
    acknowledged: int = 0
    denials: list[TraceEvent] = field(default_factory=list)
    registration: Registration = field(default_factory=Registration)
    trace: list[TraceEvent] = field(default_factory=list, repr=False)

    @property
    def exit_code(self) -> int:
        """The first that is not 0, else 0; 1 when the run failed before its first task."""
        codes = (task.exit_code for task in self.tasks if task.exit_code)
        return next(codes, int(bool(self.problem)))

    @property
    def result(self) -> dict[str, Any] | None:
        """The JSON object of the last task that printed one."""
        return next((task.result for task in reversed(self.tasks) if task.result is not None), None)

    @property
    def stdout(self) -> bytes:
        """What was captured of stdout, of the last task that ran."""
        return self._last.stdout

    @property
    def stderr(self) -> bytes:
        """What was captured of stderr, of the last task that ran."""
        return self._last.stderr

    @property
    def pid(self) -> int | None:
        """PID of the last process; None when none was started."""
        return next((task.pid for task in reversed(self.tasks) if task.pid), None)

    @property
    def _last(self) -> TaskRun:
        return next((task for task in reversed(self.tasks) if not task.skipped), TaskRun(""))

    @property
    def timed_out(self) -> bool:
        """Whether the agent ended a task at its time-out."""
        return any(task.timed_out for task in self.tasks)
