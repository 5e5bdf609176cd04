"""What a run of a job is started with, what is seen of it while it goes on, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from epm_task.contract.record import Record
from epm_task.simulator.processes.tree import ancestor_among

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from epm_task.contract.run_history import StartFailure
    from epm_task.simulator.processes.process import TaskProcess
    from epm_task.simulator.trace import TraceEvent


#: Of a message's payload, on a terminal and in the run history; `run --json` has it whole.
_SHOWN_CHARACTERS: Final = 2000


class Publication(NamedTuple):
    """What a task published on a topic of its own, and the broker carried."""

    topic: str
    payload: Any  #: The value of its JSON; text for what is none.

    def cut(self) -> str:
        """Return the first 2 000 characters of a longer payload's JSON; "" when it is shorter."""
        text = json.dumps(self.payload)
        return f"{text[:_SHOWN_CHARACTERS]}…" if len(text) > _SHOWN_CHARACTERS else ""


#: A mapping that is nobody's own.
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class RunRequest(NamedTuple):
    """What the starter of a run asks for beside the job document."""

    #: What makes it run: `Startup`, `interval`, `cronExpression`, `trigger`, `run`, ….
    trigger: str = "trigger"
    #: Event context; its fields are tokens.
    context: Mapping[str, object] = _NOTHING
    registration_delay: float = 0.0  #: Seconds between the start of a process and its registration.
    #: Environment variables beside those that the agent passes on.
    env: Mapping[str, str] = _NOTHING
    cwd: Path | None = None  #: Working directory; the agent's root when None.
    #: Called with `stdout` or `stderr` and each line as it is written.
    on_line: Callable[[str, bytes], None] | None = None
    on_record: Callable[[Record], None] | None = None  #: Called with each record once, as it comes.
    on_message: Callable[[Publication], None] | None = None  #: Called with each publication.


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
    #: Why its program could not be started; None when it could.
    start_error: StartFailure | None = None
    stderr_tail: str = ""  #: Of a task that failed: the last 4 KiB of stderr, secrets masked.


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
    #: Why the run failed before its first task, or why a program could not be started; else empty.
    problem: str = ""
    #: The records that came over the broker, or on stderr only, each once.
    records: list[Record] = field(default_factory=list, repr=False)
    context: Mapping[str, object] = field(default_factory=dict)  #: Event context.
    acknowledged: int = 0  #: Records that the broker accepted.
    #: The ids that its processes gave themselves in records, in the order of their first ones.
    record_runs: dict[str, None] = field(default_factory=dict)
    published: int = 0  #: Messages that the broker accepted beside records.
    #: The first of those messages, in order.
    messages: list[Publication] = field(default_factory=list, repr=False)
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


#: Records, and messages, kept of one run, about 50 MB; the KeeperLogger file has them all.
_MOST_RECORDS: Final = 100_000

#: Of each run, in the run history; and the processes whose records are told apart there.
SHOWN_MESSAGES: Final = 20
_MOST_PROCESSES: Final = 100

#: How long the broker may take to read what an ended process has sent.
_LAST_WORDS_SECONDS: Final = 1.0


class RunObserver(Protocol):
    """What is told of every run of an agent, in the thread of its loop; see `RunHistory`."""

    def begin(self, live: LiveRun) -> None:
        """Take a run that begins."""

    def event(self, live: LiveRun, event: TraceEvent) -> None:
        """Take a decision that concerns a run; it may come in another thread."""

    def line(self, live: LiveRun, stream: str, line: bytes) -> None:
        """Take a line that a task wrote on *stream*: `stdout` or `stderr`."""

    def end(self, live: LiveRun) -> None:
        """Take a run that has ended, or was cancelled."""


class LiveRun:
    """A run that goes on; without *keep* only what was refused is kept of it."""

    def __init__(
        self, job: Mapping[str, Any], request: RunRequest | None = None, *, keep: bool = True
    ) -> None:
        self.job: Final = job
        self.request: Final = request or RunRequest()
        self.run: Final = Run(
            uuid.uuid4().hex,
            str(job.get("id", "")),
            self.request.trigger,
            context=self.request.context,
        )
        self.process: TaskProcess | None = None
        self.observer: RunObserver | None = None
        self._keep = keep
        self._began: dict[int, float] = {}
        self._known: set[tuple[str, int]] = set()
        self._clients: set[object] = set()
        self._no_client = asyncio.Event()
        self._no_client.set()
        self._too_early: list[TraceEvent] = []

    def started(self, process: TaskProcess) -> None:
        """Take the process of the run's next task."""
        self.process = process
        # Not the process's own start time, which the kernel rounds to whole seconds of the boot.
        self._began[process.pid] = time.time()

    def line(self, stream: str, line: bytes) -> None:
        """Take a line that the process wrote."""
        if stream == "stderr" and (record := Record.from_line(line)):
            self._add(record)
        if self.request.on_line:
            self.request.on_line(stream, line)
        if self.observer:
            self.observer.line(self, stream, line)

    def record(self, record: Record) -> None:
        """Take a record that the broker accepted."""
        self.run.acknowledged += 1
        if len(self.run.record_runs) < _MOST_PROCESSES:
            self.run.record_runs.setdefault(record.run_id)
        self._add(record)

    def message(self, topic: str, payload: bytes) -> None:
        """Take a message on another topic than that of records, which the broker carried."""
        self.run.published += 1
        keeps = len(self.run.messages) < (_MOST_RECORDS if self._keep else SHOWN_MESSAGES)
        if not (keeps or self.request.on_message):
            return
        try:
            value = json.loads(payload)
        except (ValueError, RecursionError):
            value = payload.decode("utf-8", "replace")
        if keeps:
            self.run.messages.append(Publication(topic, value))
        if self.request.on_message:
            self.request.on_message(Publication(topic, value))

    def event(self, event: TraceEvent) -> None:
        """Take a decision of the agent, when it concerns this run."""
        if not self._concerns(event):
            return
        if self._keep:
            self.run.trace.append(event)
        if event.action == "disconnected":
            self._clients.discard(event.facts.get("client_id"))
        elif event.action == "connected":
            self._clients.add(event.facts.get("client_id"))
        (self._no_client.clear if self._clients else self._no_client.set)()
        if event.denied:
            self.run.denials.append(event)
        if event.facts.get("tier") == "Plugin" and event.facts.get("pid") in self._began:
            self._note_request(event)
        if self.observer:
            self.observer.event(self, event)

    async def end(self) -> None:
        """Wait until the broker has read what the ended process has sent, and sort what was seen.

        A 403 before the registration is a denial only when the registration never came; a record
        on stderr may have come before older ones over the broker.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._no_client.wait()
        run = self.run
        if run.registration.seconds is not None:
            run.denials[:] = [event for event in run.denials if event not in self._too_early]
        one_process = len({record.run_id for record in run.records}) == 1
        if one_process and all(record.seq is not None for record in run.records):
            run.records.sort(key=lambda record: record.seq or 0)

    def _note_request(self, event: TraceEvent) -> None:
        registration = self.run.registration
        if registration.seconds is not None:
            return
        registration.tries += 1
        if event.facts.get("status") == 200:
            began = self._began[int(str(event.facts["pid"]))]
            registration.seconds = max(0.0, event.at - began)
        elif event.denied:
            self._too_early.append(event)

    def _concerns(self, event: TraceEvent) -> bool:
        pid = event.facts.get("pid")
        if event.facts.get("job_id") == self.run.job_id:
            return True
        if not isinstance(pid, int):
            return False
        if pid in self._began:
            return True
        # A child of the task, which is refused because trust is exact: worth a look, it is rare.
        return event.denied and ancestor_among(pid, self._began.keys()) is not None

    def _add(self, record: Record) -> None:
        full = len(self.run.records) >= _MOST_RECORDS
        if full or not (self._keep or self.request.on_record) or record.identity in self._known:
            return
        if record.identity and len(self._known) < _MOST_RECORDS:
            self._known.add(record.identity)
        if self._keep:
            self.run.records.append(record)
        if self.request.on_record:
            self.request.on_record(record)
