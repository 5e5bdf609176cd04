"""A local agent is the whole agent on one root: API, broker, job runner, scheduler, stores."""

from __future__ import annotations

import errno
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from epm_task.contract.json_text import BadJson, parse_object, write_json
from epm_task.contract.layout import (
    HTTP_PORT_KEY,
    HTTPS_PORT_KEY,
    PORTS_SECTION,
    AgentRoot,
)
from epm_task.contract.names import BROKER_HOST, BROKER_PORT, SYSTEM_PLUGIN
from epm_task.files import write_atomically
from epm_task.simulator.api.endpoints import PublicApi, endpoints
from epm_task.simulator.api.jobs import JobsApi
from epm_task.simulator.api.plugin_settings import PluginSettingsApi
from epm_task.simulator.api.server import ApiServer
from epm_task.simulator.broker import Broker, Message
from epm_task.simulator.certificates import open_authority, server_context
from epm_task.simulator.faults.faults import Faults
from epm_task.simulator.jobs.history import RunHistory, RunWatch
from epm_task.simulator.jobs.runner import JobRunner, agent_environment
from epm_task.simulator.jobs.scheduler import Clock, Scheduler
from epm_task.simulator.jobs.store import JobStore, UnknownJob
from epm_task.simulator.jobs.task import RunOptions, TaskSurroundings
from epm_task.simulator.jobs.validator import Validation, validate
from epm_task.simulator.keeper_logger import KeeperLogger
from epm_task.simulator.options import AgentOptions
from epm_task.simulator.processes.access import Access
from epm_task.simulator.processes.registry import ProcessRegistry
from epm_task.simulator.recording import Recorder, Replay
from epm_task.simulator.root import RootLock, create_root
from epm_task.simulator.settings import SettingsStore, UnknownPlugin, setting_text
from epm_task.simulator.start_error import FileUnwritable, PortTaken, UnusableFile, holder
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from epm_task.simulator.certificates import CertificateFiles
    from epm_task.simulator.faults.rule import FaultRule
    from epm_task.simulator.jobs.observer import RunObserver
    from epm_task.simulator.jobs.run import JobRun
    from epm_task.simulator.trace import TraceEvent


_PORT_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES})


class LocalAgent:
    """One agent; `async with` starts and stops it.

    Args:
        root: Its folder, which is created when it is missing.
        options: How it is started.

    Raises:
        StartError: On entry: the root is unusable or in use, a port is taken, a file is broken.
    """

    def __init__(self, root: Path, options: AgentOptions | None = None) -> None:
        """Prepare what needs neither files nor an event loop."""
        self.options: Final = options or AgentOptions()
        self.root: Final = AgentRoot(root)
        self.trace: Final = Trace()
        self.registry: Final = ProcessRegistry(self.options.trust)
        self.faults: Final = self.options.faults or Faults()
        self.clock: Final = Clock(self.options.start_time)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def certificates(self) -> CertificateFiles:
        """Where clients find the CA, and the admin's certificate and key."""
        return self._files.certificates

    def facts(self) -> dict[str, Any]:
        """Return where everything is, as `epm-task agent` prints it."""
        files = {name: str(path) for name, path in self.certificates._asdict().items()}
        return {
            "base_url": self.api.base_url,
            "broker_host": self.broker.host,
            "broker_port": self.broker.port,
            **files,
            "root": str(self.root.path),
            "log": str(self.root.keeper_logger),
        }

    async def run_job(
        self,
        job: Mapping[str, Any],
        *,
        trigger: str,
        observer: RunObserver,
        context: Mapping[str, object] | None = None,
        options: RunOptions | None = None,
    ) -> JobRun:
        """Run *job* to its end, while *observer* collects what the agent sees of it."""
        run_id, options = self.watch.begin(
            job, options=options or self._run_options(), observer=observer
        )
        try:
            return await self.runner.run(
                job, trigger=trigger, context=context, run_id=run_id, options=options
            )
        finally:
            self.watch.forget(run_id)

    def start_run(
        self, job: Mapping[str, Any], *, trigger: str, context: Mapping[str, object] | None = None
    ) -> str:
        """Start a run that nobody waits for; return its id."""
        run_id, options = self.watch.begin(job, options=self._run_options())
        return self.runner.start_run(
            job, trigger=trigger, context=context, run_id=run_id, options=options
        )

    def _run_options(self) -> RunOptions:
        return RunOptions(self.options.registration_seconds())

    def validate(self, document: Any) -> Validation:
        """Return the full validator's verdict on a job document."""
        return validate(document, layout_bin=self.root.jobs_bin)

    async def _start(self) -> None:
        self._files = AgentFiles(self.root, self.options, self.trace, self._stack)
        self.settings, self.jobs = self._files.settings, self._files.jobs
        self.watch = self._files.watch
        access = Access(self.registry, client_id_template=self.options.client_id_template)
        await self._start_broker(access)
        await self._start_api(access)
        self.runner = self._make_runner()
        self._stack.push_async_callback(self.runner.stop)
        self.scheduler = Scheduler(self.clock, self.jobs.all, self.start_run, self.trace)
        self._stack.callback(self.scheduler.stop)
        self.scheduler.start()

    async def _start_broker(self, access: Access) -> None:
        options = self.options
        self.broker = Broker(
            access,
            self.trace,
            ssl_context=self._files.tls,
            host=options.host,
            port=options.mqtt_port,
            deny_visibly=options.deny_visibly,
            on_message=self._on_message,
            faults=self.faults,
        )
        try:
            await self.broker.start()
        except OSError as error:
            if error.errno in _PORT_TAKEN:
                raise PortTaken(
                    options.mqtt_port, holder(options.host, options.mqtt_port)
                ) from error
            raise
        self._stack.push_async_callback(self.broker.stop)
        self.faults.attach(self.broker.go_down, self.broker.start, self._note_fault)
        self._stack.push_async_callback(self.faults.detach)
        address = {BROKER_HOST: self.broker.host, BROKER_PORT: str(self.broker.port)}
        self.settings.define(SYSTEM_PLUGIN, address)

    async def _start_api(self, access: Access) -> None:
        options = self.options
        https_port, http_port = options.https_port, options.http_port
        if https_port is None:
            https_port, http_port = read_ports(self.root.appsettings)
        settings = PluginSettingsApi(self.settings, self.trace, bare_values=options.bare_values)
        recorder = self._files.recorder
        jobs = JobsApi(self.jobs, self.validate, self.start_run, self.trace)
        routes = endpoints(PublicApi(self.settings, self.jobs), settings, jobs)
        if options.replay_file:
            replay = Replay(options.replay_file, self.broker)
            self._stack.callback(replay.stop)
            routes = [*replay.endpoints(), *routes]
        self.api = ApiServer(
            routes,
            access,
            self.trace,
            self._files.tls,
            host=options.host,
            port=https_port,
            http_port=http_port,
            faults=self.faults,
            middlewares=[recorder.middleware] if recorder else [],
        )
        await self.api.start()
        self._stack.push_async_callback(self.api.stop)
        write_ports(self.root.appsettings, self.api.port, self.api.http_port)

    def _make_runner(self) -> JobRunner:
        surroundings = TaskSurroundings(
            self.root,
            self.registry,
            self.trace,
            agent_environment(),
            grace_seconds=self.options.grace_seconds,
            faults=self.faults,
        )
        runner = JobRunner(
            surroundings,
            base_url=lambda: self.api.base_url,
            settings=self._merged,
            find_job=self._find_job,
            on_end=self.watch.end,
        )
        runner.conditions.update(self.options.conditions)
        return runner

    def _note_fault(self, rule: FaultRule) -> None:
        self.trace.add("fault", "fault", f"fault: {rule}")

    def _merged(self, plugin: str) -> dict[str, str] | None:
        try:
            return self.settings.merged(plugin)
        except UnknownPlugin:
            return None

    def _find_job(self, job_id: str) -> dict[str, Any] | None:
        try:
            return self.jobs.get(job_id)
        except UnknownJob:
            return None

    def _on_message(self, message: Message) -> None:
        self.watch.message(message)
        self.faults.message_seen()
        if self._files.recorder:
            self._files.recorder.message(message)


class AgentFiles:
    """Stores, logs and certificates of one agent.

    Args:
        root: Its layout; it is created, and held against other agents.
        options: How the agent is started.
        trace: Gets what could not be loaded.
        stack: Closes the files.

    Raises:
        StartError: The root is unusable or in use, or a file is broken.
    """

    def __init__(
        self, root: AgentRoot, options: AgentOptions, trace: Trace, stack: AsyncExitStack
    ) -> None:
        """Open everything."""
        create_root(root)
        stack.callback(RootLock(root).close)
        if options.trace_file is not None:
            lines = stack.enter_context(_open(options.trace_file))
            stack.callback(trace.subscribe(lambda event: _write_event(lines, event)))
        compiled_in = {
            plugin: {key: setting_text(value) for key, value in settings.items()}
            for plugin, settings in options.settings.items()
        }
        self.settings: Final = SettingsStore(root.plugins, root.store, compiled_in)
        self.jobs: Final = JobStore(root.jobs)
        for problem in (*self.jobs.problems, *self.settings.problems):
            trace.add("job", "not_loaded", "a file was not loaded", reason=str(problem))
        authority, self.certificates = open_authority(root.certificates, stable=options.stable_ca)
        self.tls: Final = server_context(authority)
        logger = KeeperLogger(root.keeper_logger, options.log_level)
        stack.callback(logger.close)
        history = RunHistory(root.run_history)
        stack.callback(history.close)
        self.watch: Final = RunWatch(trace, logger, history)
        stack.callback(self.watch.close)
        self.recorder: Recorder | None = None
        if options.record_file is not None:
            try:
                self.recorder = Recorder(options.record_file)
            except OSError as error:
                raise FileUnwritable(options.record_file, error.strerror or str(error)) from error
            stack.callback(self.recorder.close)


def _open(path: Path) -> TextIO:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise FileUnwritable(path, error.strerror or str(error)) from error


def _write_event(file: TextIO, event: TraceEvent) -> None:
    file.write(json.dumps(event.document(), ensure_ascii=False, default=str) + "\n")
    file.flush()


def read_ports(path: Path) -> tuple[int, int]:
    """Return the HTTPS and the HTTP port that the file names; 0 for one that it does not.

    Raises:
        UnusableFile: The file is broken; it is not overwritten.
    """
    section = _read(path).get(PORTS_SECTION)
    named = section if isinstance(section, dict) else {}
    return _port(path, named.get(HTTPS_PORT_KEY)), _port(path, named.get(HTTP_PORT_KEY))


def write_ports(path: Path, https_port: int, http_port: int | None) -> None:
    """Write the ports that are in use; everything else in the file stays.

    Raises:
        UnusableFile: The file is broken; it is not overwritten.
    """
    document = _read(path)
    section = document.get(PORTS_SECTION)
    ports: dict[str, Any] = {HTTPS_PORT_KEY: https_port}
    if http_port is not None:
        ports[HTTP_PORT_KEY] = http_port
    document[PORTS_SECTION] = {**(section if isinstance(section, dict) else {}), **ports}
    write_atomically(path, write_json(document))


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_object(path.read_bytes())
    except FileNotFoundError:
        return {}
    except BadJson as error:
        raise UnusableFile(path, error.why, line=error.line) from error
    except OSError as error:
        raise UnusableFile(path, error.strerror or str(error)) from error


def _port(path: Path, value: object) -> int:
    if value is None:
        return 0
    text = str(value)
    if not text.isdecimal() or int(text) > 65_535:
        raise UnusableFile(path, f"{PORTS_SECTION}: {value!r} is no port")
    return int(text)
