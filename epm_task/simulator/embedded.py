"""Run an agent in a thread of this process, for tests and `epm-task run`."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack

from epm_task.errors import EpmTaskError, TaskError
from epm_task.runtime.log.encoder import secret_texts
from epm_task.runtime.result import encode_object
from epm_task.runtime.state import StateFile
from epm_task.simulator.agent import LocalAgent
from epm_task.simulator.background import LoopThread, StartedRun
from epm_task.simulator.broker import Message
from epm_task.simulator.jobs.run import LiveRun, RunRequest
from epm_task.simulator.jobs.trial import trial_job
from epm_task.simulator.options import AgentKeywords, AgentOptions, RunKeywords, check_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from epm_task.contract.topic import Topic
    from epm_task.runtime.task import Task
    from epm_task.simulator.console.server import Console
    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.jobs.run import Run
    from epm_task.simulator.settings import SettingsStore
    from epm_task.simulator.trace import Trace

Result = TypeVar("Result")

#: A task without a time-out of its own must not hold a test for ever.
RUN_SECONDS: Final = 60.0

_PARAMETERS = "give a parameter of the task as parameters={{{name!r}: …}}"


class Agent:
    """An embedded agent; `with Agent() as agent` starts and stops it.

    Args:
        root: Its folder, which is kept; None makes a temporary one, removed at the end.
        deny: Topics that are left out of the `mqttTopics` of the runs that this agent starts.
        **options: The fields of `AgentOptions`.

    Raises:
        UnknownName: An option has a wrong name.
        StartError: On entry: the root is unusable or in use, a port is taken, a file is broken.
    """

    trace: Trace  #: Every decision of the agent, with its reason.
    settings: SettingsStore  #: `agent.settings["KeyScanner"]["max_bytes"] = "10"`.
    faults: Faults  #: What goes wrong on purpose.
    base_url: str  #: The value of `{KeeperApiBaseUrl}`.
    broker_host: str
    broker_port: int
    root: Path  #: The agent's folder.
    log: Path  #: The KeeperLogger file.
    ca: Path  #: The certificate of the agent's CA.
    admin_cert: Path  #: The client certificate of the Admin tier.
    admin_key: Path  #: Its private key.
    console: Console | None  #: With the option `console_port`; its `address` lets a browser in.
    clock: AgentClock
    jobs: AgentJobs

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        deny: Collection[str] = (),
        **options: Unpack[AgentKeywords],
    ) -> None:
        check_names("Agent", options, AgentKeywords.__annotations__, "see epm_task.testing.Agent")
        self._options = AgentOptions(**options)
        self._given_root = root
        self._deny = frozenset(deny)
        self._temporary: Path | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Start the agent.

        Raises:
            StartError: The root is unusable or in use, a port is taken, a file is broken.
        """
        if self._given_root is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="epm-agent-"))
        root = Path(self._given_root or self._temporary or "")
        self._local = local = LocalAgent(root, self._options)
        self._loop = LoopThread("epm-agent")
        try:
            self._loop.call(local.__aenter__())
        except BaseException:
            self._end_thread()
            raise
        self.trace, self.faults, self.settings = local.trace, local.faults, local.settings
        self.base_url = local.api.base_url
        self.broker_host, self.broker_port = local.broker.host, local.broker.port
        self.root, self.log = local.root.path, local.root.keeper_logger
        self.ca, self.admin_cert, self.admin_key = local.certificates
        self.console = local.console
        self.clock = AgentClock(local, self._loop)
        self.jobs = AgentJobs(self, local)

    def close(self) -> None:
        """End every task (TERM, grace, KILL), stop the agent, and remove a temporary root."""
        try:
            self._loop.call(self._local.__aexit__(None, None, None))
        finally:
            self._end_thread()

    def run(self, target: Task[..., Any] | str | Path, **options: Unpack[RunKeywords]) -> Run:
        """Run a task as a child process, as the agent would, and wait for its end.

        Args:
            target: A task, or the path of a task file or of another program.
            **options: See `RunKeywords`; the task's own parameters are `parameters`.

        Raises:
            TaskFileError: The file cannot be imported, or holds no such task.
            UnknownName: An option or a parameter of the task has a wrong name.
        """
        return self.start(target, **options).wait()

    def start(
        self, target: Task[..., Any] | str | Path, **options: Unpack[RunKeywords]
    ) -> StartedRun:
        """Start a run in the background; takes and raises what `run` does."""
        check_names("Agent.run", options, RunKeywords.__annotations__, _PARAMETERS)
        trial = trial_job(
            target,
            ca_file=self.ca,
            task_name=options.get("task"),
            arguments=options.get("arguments") or (),
            parameters=options.get("parameters") or {},
            deny=self._deny,
        )
        self._know_plugin(trial.task)
        document = {**trial.document, **(options.get("job") or {})}
        step = {**document["tasks"][0]}
        step["timeoutSeconds"] = options.get("timeout") or step.get("timeoutSeconds", RUN_SECONDS)
        document["tasks"] = [step, *document["tasks"][1:]]
        request = RunRequest(
            context=trial.context,
            registration_delay=self._delay(options.get("registration_delay")),
            env={**trial.env, **(options.get("env") or {})},
            cwd=options.get("cwd"),
            on_line=options.get("on_line"),
            on_record=options.get("on_record"),
            on_message=options.get("on_message"),
        )
        return self._begin(document, request)

    def run_job(
        self,
        document: Mapping[str, Any],
        *,
        trigger: str = "trigger",
        context: Mapping[str, object] | None = None,
        registration_delay: float | None = None,
    ) -> Run:
        """Run a job document, which need not be stored, and wait for its end.

        *registration_delay* is in seconds; None for the agent's own.
        """
        delay = self._delay(registration_delay)
        request = RunRequest(trigger=trigger, context=context or {}, registration_delay=delay)
        return self._begin(document, request).wait()

    def publish(
        self, topic: Topic[Any] | str, payload: object, *, qos: int = 1, retain: bool = False
    ) -> None:
        """Publish a message as the agent itself does; *payload* is an object of JSON, or bytes.

        A task reads it with `ctx.messages`, and an event on the `eventTopic` of a job starts every
        job that names the event.
        """
        data = payload if isinstance(payload, bytes) else encode_object(payload)
        name = topic if isinstance(topic, str) else topic.name
        message = Message(name, data, qos=qos, retain=retain)
        self.call_in_loop(lambda: self._local.broker.publish(message))

    def read_state(self, task: Task[..., Any]) -> dict[str, Any]:
        """Return what a task keeps between its runs; empty before it has saved anything.

        Raises:
            TaskError: The file is not that of a state.
        """
        found = self._state_file(task).read()
        return {} if found is None else found[0]

    def write_state(
        self, task: Task[..., Any], values: Mapping[str, Any], *, version: int = 1
    ) -> None:
        """Let the next run of a task find these values, of that version of its model.

        Raises:
            TaskError: They are not JSON, or the file cannot be written.
        """
        self._state_file(task).write(encode_object(dict(values)), version)

    def _state_file(self, task: Task[..., Any]) -> StateFile:
        folder = self._options.state_folder or self._local.root.states
        return StateFile(folder.absolute() / task.declaration.job_id, task.name)

    def call_in_loop(self, function: Callable[[], Result]) -> Result:
        """Run a plain function in the agent's own thread, and return its result."""
        return self._loop.call_plain(function)

    def reset(self) -> None:
        """End every run; forget jobs, programs, states, settings and faults, for the next test.

        Plugins that were stopped run again.
        """
        self.faults.clear()
        self._loop.call(self._local.runner.end_all())
        self.jobs.wait()
        self.jobs.clear()
        shutil.rmtree(self._local.root.states, ignore_errors=True)
        self._local.settings.revert_all()
        self.call_in_loop(self._local.plugins.start_all)
        self._local.history.ended.clear()

    def _begin(self, document: Mapping[str, Any], request: RunRequest) -> StartedRun:
        live = LiveRun(document, request)
        return StartedRun(live, self._loop.submit(self._local.runner.run(live)), self._loop)

    def _delay(self, seconds: float | None) -> float:
        return self._options.registration_seconds() if seconds is None else seconds

    def _know_plugin(self, task: Task[..., object] | None) -> None:
        # A task that is tried before its plugin is deployed gets the model's defaults, not a 404.
        kind = task.handler.settings_type if task is not None else None
        if kind is None:
            return
        if kind.plugin_id not in self.settings:
            self.call_in_loop(lambda: self._local.settings.define(kind.plugin_id, {}))
        with suppress(TaskError):  # the task itself will say what is wrong
            self.trace.secrets.add(
                secret_texts(kind.from_document(dict(self.settings[kind.plugin_id])))
            )

    def _end_thread(self) -> None:
        self._loop.stop()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None


class AgentClock:
    """The clock that the scheduler of one embedded agent reads."""

    def __init__(self, local: LocalAgent, loop: LoopThread) -> None:
        self._clock = local.clock
        self._loop = loop

    def now(self) -> datetime:
        """Return the agent's time, in UTC."""
        return self._clock.now()

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Move the clock forward; when this returns, every job that became due was started.

        Raises:
            ValueError: The step leads back.
        """
        step = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
        self._loop.call_plain(partial(self._clock.advance, **step))


class InvalidJob(EpmTaskError, ValueError):
    """The full validator refused a job document."""

    def __init__(self, job_id: object, errors: Collection[str]) -> None:
        super().__init__(
            f"the job {job_id!r} is not valid", "; ".join(errors), "correct the document"
        )


class StillRunning(EpmTaskError, TimeoutError):
    """A run goes on for longer than it was waited for."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"a run still goes on after {seconds} s", fix="wait longer, or call agent.reset()"
        )


class AgentJobs:
    """The jobs of one embedded agent."""

    def __init__(self, agent: Agent, local: LocalAgent) -> None:
        self._agent = agent
        self._local = local

    def add(self, document: Mapping[str, Any]) -> None:
        """Store a job document, or replace the one with its id, as `POST /api/Jobs` does.

        Raises:
            InvalidJob: The full validator refuses it.
        """
        verdict = self._local.validate(dict(document))
        if not verdict.valid:
            raise InvalidJob(document.get("id"), verdict.errors)
        self._local.jobs.put(dict(document))

    def get(self, job_id: str) -> dict[str, Any]:
        """Return a stored document; raise `UnknownJob` for another id."""
        return self._local.jobs.get(job_id)

    def delete(self, job_id: str) -> None:
        """Delete a stored document; raise `UnknownJob` for another id."""
        self._local.jobs.delete(job_id)

    def clear(self) -> None:
        """Delete all stored documents, and the programs in `Jobs/bin`."""
        for job_id in self.ids():
            self.delete(job_id)
        for program in self._local.root.jobs_bin.iterdir():
            if program.is_dir() and not program.is_symlink():
                shutil.rmtree(program)
            else:
                program.unlink()

    def ids(self) -> list[str]:
        """Return the ids of all stored jobs, sorted."""
        return [str(job["id"]) for job in self._local.jobs.all()]

    def trigger(self, job_id: str, context: Mapping[str, object] | None = None) -> Run:
        """Run a stored job with an event context, and wait for its end."""
        return self._agent.run_job(self.get(job_id), trigger="trigger", context=context)

    def ended(self, job_id: str | None = None) -> list[Run]:
        """Return the last runs that have ended, of one job or of all, the oldest first."""
        runs = self._agent.call_in_loop(lambda: list(self._local.history.ended))
        return [run for run in runs if job_id in {None, run.job_id}]

    def wait(self, timeout: float = 30.0) -> None:
        """Wait until no run goes on, such as after `agent.clock.advance(…)`.

        Raises:
            StillRunning: One still goes on after *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        while self._agent.call_in_loop(lambda: self._local.history.live):
            if time.monotonic() >= deadline:
                raise StillRunning(timeout)
            time.sleep(0.005)
