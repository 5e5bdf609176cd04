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
    """What the starter of a run asks for beside the job document."""

    #: What makes it run: `Startup`, `interval`, `cronExpression`, `trigger`, `run`, ….
    trigger: str = "trigger"
    #: Event context; its fields are tokens.
    context: Mapping[str, object] = field(default_factory=dict)
    registration_delay: float = 0.0  #: Seconds between the start of a process and its registration.
    #: Environment variables beside those that the agent passes on.
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None  #: Working directory; the agent's root when None.
    #: Called with `stdout` or `stderr` and each line as it is written.
    on_line: Callable[[str, bytes], None] | None = None
    on_record: Callable[[Record], None] | None = None  #: Called with each record once, as it comes.


@dataclass(slots=True)
class TaskRun:
    """What came of one task of a run."""

    task_id: str  #: Id of the task in the job document.
    pid: int | None = None  #: PID of the process; None when none was started.
    #: Negative for a signal; 127: the program was not found, 126: it could not start.
    exit_code: int = 0
    seconds: float = 0.0  #: Wall time.
    stdout: bytes = b""  #: What was captured of stdout.
    stderr: bytes = b""  #: What was captured of stderr.
    stdout_dropped: int = 0  #: Bytes of stdout beyond the cap.
    stderr_dropped: int = 0  #: Bytes of stderr beyond the cap.
    #: The JSON object that the task printed, when it printed one.
    result: dict[str, Any] | None = None
    timed_out: bool = False  #: Whether the agent ended it at `timeoutSeconds`.
    left_behind: int = 0  #: Processes that the task left running; the agent ended them.
    skipped: str = ""  #: Why the task was not run; empty when it was.


@dataclass(slots=True)
class Registration:
    """How a process came to its Plugin tier."""

    tries: int = 0  #: Requests to the Plugin Settings API up to the first that was served.
    #: From the start of the process to that request; None when none was served.
    seconds: float | None = None


@dataclass(slots=True)
class Run:
    """What one run of a job did, and what the agent saw of it."""

    run_id: str  #: Unique text of this run.
    job_id: str  #: Id of the job that ran.
    trigger: str  #: What made it run.
    tasks: list[TaskRun] = field(default_factory=list)  #: The tasks that were reached, in order.
    seconds: float = 0.0  #: Wall time.
    skipped: str = ""  #: Why nothing was run; empty when something was.
    problem: str = ""  #: Why the run failed before its first task; empty when it did not.
    #: The records that came over the broker, or on stderr only, each once.
    records: list[Record] = field(default_factory=list, repr=False)
    acknowledged: int = 0  #: Records that the broker accepted.
    #: What the agent refused; mostly the task cannot see it.
    denials: list[TraceEvent] = field(default_factory=list)
    #: How often the task asked until it was registered, and how long that took.
    registration: Registration = field(default_factory=Registration)
    #: The agent's decisions that concern this run.
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
