"""An agent is the whole local contract of KEPM in one thread of this process."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from epm_task.simulator.agent import LocalAgent
from epm_task.simulator.jobs.observer import RunObserver
from epm_task.simulator.jobs.task import RunOptions
from epm_task.simulator.jobs.trial import trial_job
from epm_task.simulator.options import AgentOptions
from epm_task.simulator.run import LoopThread, StartedRun, begin_run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from epm_task.contract.record import Record
    from epm_task.runtime.task import Task
    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.jobs.run import JobRun
    from epm_task.simulator.jobs.scheduler import Clock
    from epm_task.simulator.run import Run
    from epm_task.simulator.settings import LiveSettings
    from epm_task.simulator.trace import Trace


class AgentView:
    """The running agent, seen from another thread."""

    _local: LocalAgent

    @property
    def trace(self) -> Trace:
        """Every decision of the agent, with its reason."""
        return self._local.trace

    @property
    def settings(self) -> LiveSettings:
        """The settings: `agent.settings["KeyScanner"]["max_bytes"] = "10"`."""
        return self._local.settings.live

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose."""
        return self._local.faults

    @property
    def base_url(self) -> str:
        """What `{KeeperApiBaseUrl}` stands for."""
        return self._local.api.base_url

    @property
    def broker_host(self) -> str:
        """The broker's address."""
        return self._local.broker.host

    @property
    def broker_port(self) -> int:
        """The broker's port."""
        return self._local.broker.port

    @property
    def ca(self) -> Path:
        """The certificate of the agent's CA."""
        return self._local.certificates.ca

    @property
    def admin_cert(self) -> Path:
        """The client certificate of the Admin tier."""
        return self._local.certificates.admin_cert

    @property
    def admin_key(self) -> Path:
        """The private key of the Admin tier."""
        return self._local.certificates.admin_key

    @property
    def root(self) -> Path:
        """The agent's folder."""
        return self._local.root.path

    @property
    def log(self) -> Path:
        """The KeeperLogger file."""
        return self._local.root.keeper_logger


Result = TypeVar("Result")

#: A task without a time-out of its own must not hold a test for ever.
RUN_SECONDS: Final = 60.0


class Agent(AgentView):
    """An embedded agent; `with Agent() as agent` starts and stops it.

    Args:
        root: Its folder, which is kept; None makes a temporary one, removed at the end.
        trust: Whether a launched process alone has the Plugin tier, or its descendants too.
        registration_delay: Seconds from the start of a process to its registration, or a range.
        log_level: Lowest level that goes to the KeeperLogger file.
        https_port: 0 for any free one.
        mqtt_port: 0 for any free one.
        deny: Topics that are left out of the `mqttTopics` of the runs that this agent starts.
        settings: Compiled-in settings by plugin and key.
        faults: What goes wrong on purpose.
        **more: Any other attribute of `AgentOptions`.

    Raises:
        StartError: On entry: the root is unusable or in use, a port is taken, a file is broken.
    """

    def __init__(  # noqa: PLR0913 - keywords only, each with a default
        self,
        root: str | Path | None = None,
        *,
        trust: Literal["exact", "tree"] = "exact",
        registration_delay: float | tuple[float, float] = 0.0,
        log_level: str = "Trace",
        https_port: int = 0,
        mqtt_port: int = 0,
        deny: Collection[str] = (),
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        faults: Faults | None = None,
        **more: Any,
    ) -> None:
        """Take the options; nothing is started before `open` or `with`."""
        self._options = AgentOptions(
            trust=trust,
            registration_delay=registration_delay,
            log_level=log_level,
            https_port=https_port,
            mqtt_port=mqtt_port,
            settings=settings or {},
            faults=faults,
            **more,
        )
        self._given_root = root
        self._deny = frozenset(deny)
        self._temporary: Path | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Start the agent.

        Raises:
            StartError: The root is unusable or in use, a port is taken, a file is broken.
        """
        if self._given_root is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="epm-agent-"))
        self._local = LocalAgent(Path(self._given_root or self._temporary or ""), self._options)
        self._loop = LoopThread("epm-agent")
        try:
            self._loop.call(self._local.__aenter__())
        except BaseException:
            self._end_thread()
            raise
        self.clock = AgentClock(self._local.clock, self._loop)
        self.jobs = AgentJobs(self, self._local)

    def close(self) -> None:
        """End every task (TERM, grace, KILL), stop the agent, and remove a temporary root."""
        try:
            self._loop.call(self._local.__aexit__(None, None, None))
        finally:
            self._end_thread()

    def run(self, target: Task[..., Any] | str | Path, **words: Any) -> Run:
        """Run a task as a child process, as the agent would, and wait for its end.

        Args:
            target: A task, or the path of a task file or of another program.
            **words: As for `start`.

        Raises:
            TaskFileError: The file cannot be imported, or holds no such task.
            TypeError: A parameter is unknown to the task.
        """
        return self.start(target, **words).wait()

    def start(  # noqa: PLR0913 - keywords only, each with a default
        self,
        target: Task[..., Any] | str | Path,
        *,
        registration_delay: float | None = None,
        timeout: float | None = None,
        arguments: Sequence[str] = (),
        task: str | None = None,
        env: Mapping[str, str] | None = None,
        job: Mapping[str, Any] | None = None,
        cwd: Path | None = None,
        on_line: Callable[[str, bytes], None] | None = None,
        on_record: Callable[[Record], None] | None = None,
        **parameters: Any,
    ) -> StartedRun:
        """Start a run in the background.

        Args:
            target: A task, or the path of a task file or of another program.
            registration_delay: Seconds from the start of the process to its registration; None
                for the agent's own.
            timeout: `timeoutSeconds` of the job; None for the task's own, or 60 s.
            arguments: Further arguments, passed exactly as they are.
            task: Which task of a file with several.
            env: Environment variables beside those that the agent passes on.
            job: Fields of the job document that replace those that are made from the task.
            cwd: Working directory of the process; the agent's root when None.
            on_line: Called, in the agent's thread, with `stdout` or `stderr` and each line.
            on_record: Called, in the agent's thread, with each record once.
            **parameters: The task's parameters by name; None leaves one out.

        Raises:
            TaskFileError: The file cannot be imported, or holds no such task.
            TypeError: A parameter is unknown to the task.
        """
        trial = trial_job(
            target,
            ca_file=self.ca,
            task_name=task,
            arguments=arguments,
            parameters=parameters,
            deny=self._deny,
        )
        document = {**trial.document, **(job or {})}
        self._know_plugin(trial.task)
        step = {**document["tasks"][0]}
        step["timeoutSeconds"] = timeout or step.get("timeoutSeconds", RUN_SECONDS)
        document["tasks"] = [step, *document["tasks"][1:]]
        observer = RunObserver(document["id"], on_line=on_line, on_record=on_record)
        return begin_run(
            (self._local, self._loop),
            document,
            observer,
            trigger="trigger",
            context=trial.context,
            options=replace(
                self._run_options(registration_delay), env={**trial.env, **(env or {})}, cwd=cwd
            ),
        )

    def run_job(
        self,
        document: Mapping[str, Any],
        *,
        trigger: str = "trigger",
        context: Mapping[str, object] | None = None,
        registration_delay: float | None = None,
    ) -> Run:
        """Run a job document, which need not be stored, and wait for its end.

        Args:
            document: The job.
            trigger: What the history names as the trigger.
            context: Event context.
            registration_delay: Seconds; None for the agent's own.
        """
        started = begin_run(
            (self._local, self._loop),
            document,
            RunObserver(str(document.get("id", ""))),
            trigger=trigger,
            context=context,
            options=self._run_options(registration_delay),
        )
        return started.wait()

    def call_in_loop(self, function: Callable[[], Result]) -> Result:
        """Run a plain function in the agent's own thread, and return its result."""
        return self._loop.call_plain(function)

    def reset(self) -> None:
        """End every run; forget jobs, programs, written settings and faults, for the next test."""
        self.faults.clear()
        self._loop.call(self._local.runner.end_all())
        self.jobs.wait()
        self.jobs.clear()
        self._local.settings.revert_all()
        self._local.watch.ended.clear()

    def _know_plugin(self, task: Task[..., object] | None) -> None:
        # A task that is tried before its plugin is deployed gets the model's defaults, not a 404.
        kind = task.handler.settings_type if task is not None else None
        if kind is not None and kind.plugin_id not in self.settings:
            self.call_in_loop(lambda: self._local.settings.define(kind.plugin_id, {}))

    def _run_options(self, registration_delay: float | None) -> RunOptions:
        if registration_delay is None:
            registration_delay = self._options.registration_seconds()
        return RunOptions(registration_delay)

    def _end_thread(self) -> None:
        self._loop.stop()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None


class AgentClock:
    """The clock of one embedded agent.

    Args:
        clock: The clock that the scheduler reads.
        loop: The thread in which the agent runs.
    """

    def __init__(self, clock: Clock, loop: LoopThread) -> None:
        """Remember both."""
        self._clock = clock
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


class InvalidJob(ValueError):
    """The full validator refused a job document; the text lists what is wrong."""


class AgentJobs:
    """The jobs of one embedded agent.

    Args:
        agent: Runs them.
        local: Holds them.
    """

    def __init__(self, agent: Agent, local: LocalAgent) -> None:
        """Remember the agent."""
        self._agent = agent
        self._local = local

    def add(self, document: Mapping[str, Any]) -> None:
        """Store a job document, or replace the one with its id, as `POST /api/Jobs` does.

        Raises:
            InvalidJob: The full validator refuses it.
        """
        verdict = self._local.validate(dict(document))
        if not verdict.valid:
            raise InvalidJob("; ".join(verdict.errors))
        self._local.jobs.put(dict(document))

    def get(self, job_id: str) -> dict[str, Any]:
        """Return a stored document.

        Raises:
            UnknownJob: There is no such job.
        """
        return self._local.jobs.get(job_id)

    def delete(self, job_id: str) -> None:
        """Delete a stored document.

        Raises:
            UnknownJob: There is no such job.
        """
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

    def trigger(self, job_id: str, **context: object) -> Run:
        """Run a stored job with an event context, and wait for its end.

        Raises:
            UnknownJob: There is no such job.
        """
        return self._agent.run_job(self.get(job_id), trigger="trigger", context=context)

    def ended(self, job_id: str | None = None) -> list[JobRun]:
        """Return the last runs that have ended, of one job or of all, the oldest first."""
        runs = self._agent.call_in_loop(lambda: list(self._local.watch.ended))
        return [run for run in runs if job_id in {None, run.job_id}]

    def wait(self, timeout: float = 30.0) -> None:
        """Wait until no run goes on, such as after `agent.clock.advance(…)`.

        Raises:
            TimeoutError: One still goes on after *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        while not self._agent.call_in_loop(lambda: self._local.watch.idle):
            if time.monotonic() >= deadline:
                raise TimeoutError(f"a run still goes on after {timeout} s")
            time.sleep(0.005)
