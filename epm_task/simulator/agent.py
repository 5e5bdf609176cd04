"""Run one agent on one root: API, broker, job runner, scheduler, settings, certificates, logs."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from epm_task.contract.layout import AgentRoot
from epm_task.contract.names import BROKER_HOST, BROKER_PORT, STATE_VARIABLE, SYSTEM_PLUGIN
from epm_task.simulator.api.endpoints import PublicApi, endpoints
from epm_task.simulator.api.jobs import JobsApi
from epm_task.simulator.api.plugin_settings import PluginSettingsApi
from epm_task.simulator.api.plugins import PluginsApi
from epm_task.simulator.api.server import ApiServer
from epm_task.simulator.broker import Broker, Message
from epm_task.simulator.certificates import (
    CertificateFiles,
    SiteCertificate,
    open_authority,
    server_context,
)
from epm_task.simulator.faults.faults import Faults
from epm_task.simulator.jobs.history import RunHistory
from epm_task.simulator.jobs.run import LiveRun, RunRequest
from epm_task.simulator.jobs.runner import JobRunner, agent_environment
from epm_task.simulator.jobs.scheduler import Clock, Scheduler
from epm_task.simulator.jobs.store import JobStore
from epm_task.simulator.jobs.task import TaskSurroundings, Turns
from epm_task.simulator.keeper_logger import KeeperLogger
from epm_task.simulator.options import AgentOptions
from epm_task.simulator.processes.registry import ALTERNATIVE_SIGNATURES, Access, ProcessRegistry
from epm_task.simulator.processes.tree import birth
from epm_task.simulator.recording import Recorder, Replay
from epm_task.simulator.root import create_root, hold_root, read_ports, write_ports
from epm_task.simulator.settings import SettingsStore
from epm_task.simulator.start_error import NoProcesses
from epm_task.simulator.trace import LineFile, Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from epm_task.simulator.console.server import Console
    from epm_task.simulator.jobs.validator import Validation


class LocalAgent:
    """One agent on the folder *root*, made when it is missing; `async with` starts and stops it.

    Raises:
        StartError: On entry: the root is unusable or in use, a port is taken, a file is broken.
    """

    def __init__(self, root: Path, options: AgentOptions | None = None) -> None:
        self.options: Final = options or AgentOptions()
        self.root: Final = AgentRoot(root)
        self.trace: Final = Trace()
        self.registry: Final = ProcessRegistry(self.options.trust)
        self.faults: Final = self.options.faults or Faults()
        self.clock: Final = Clock(self.options.start_time)
        self.console: Console | None = None  #: What a browser shows, when it was asked for.
        #: Takes each run that begins, with its job; returns the request with what is told of it.
        self.on_start: Callable[[Mapping[str, Any], RunRequest], RunRequest] | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

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
            **({"console": self.console.address} if self.console else {}),
        }

    def start_run(
        self, job: Mapping[str, Any], trigger: str, context: Mapping[str, object] | None = None
    ) -> str:
        """Start a run that nobody waits for; return its id."""
        delay = self.options.registration_seconds()
        request = RunRequest(trigger=trigger, context=context or {}, registration_delay=delay)
        if self.on_start:
            request = self.on_start(job, request)
        return self.runner.start(LiveRun(job, request, keep=False))

    def validate(self, document: Any) -> Validation:
        """Return the full validator's verdict on a job document."""
        # With its rules, which few runs of an agent ask for.
        from epm_task.simulator.jobs.validator import validate  # noqa: PLC0415

        return validate(document, layout_bin=self.root.jobs_bin)

    async def _start(self) -> None:
        if birth(os.getpid()) is None:
            raise NoProcesses
        self._open_root()
        self._open_logs()
        access = Access(
            self.registry,
            client_id_template=self.options.client_id_template,
            signed=lambda: self.settings.merged(SYSTEM_PLUGIN).get(ALTERNATIVE_SIGNATURES, ""),
        )
        await self._start_broker(access)
        await self._start_api(access)
        if self.options.console_port is not None:
            await self._start_console(self.options.console_port)
        self._make_runner()
        self._stack.callback(self.scheduler.stop)
        self.scheduler.start()

    def _open_root(self) -> None:
        root, options = self.root, self.options
        create_root(root)
        self._stack.enter_context(hold_root(root))
        if options.trace_file is not None:
            lines = LineFile(options.trace_file, self.trace, "ab")
            self._stack.callback(lines.close)
            ended = self.trace.subscribe(lambda event: lines.write(event.document()))
            self._stack.callback(ended)
        self.settings: SettingsStore = SettingsStore(root.plugins, root.store, options.settings)
        self.jobs: JobStore = JobStore(root.jobs)
        self.scheduler: Scheduler = Scheduler(self.clock, self.jobs.all, self.start_run, self.trace)
        for problem in (*self.jobs.problems, *self.settings.problems):
            self.trace.add("job", "not_loaded", "a file was not loaded", reason=str(problem))
        site = SiteCertificate.load(options.certificate) if options.certificate else None
        authority, files = open_authority(root.certificates, stable=options.stable_ca, site=site)
        self.certificates: CertificateFiles = files
        self._tls = server_context(authority, site)

    def _open_logs(self) -> None:
        root, options = self.root, self.options
        self._logger = KeeperLogger(root.keeper_logger, options.log_level)
        self._stack.callback(self._logger.close)
        self.history: RunHistory = RunHistory(root.run_history, self._logger, self.trace)
        self._stack.callback(self.history.close)
        self._recorder: Recorder | None = None
        if options.record_file is not None:
            self._recorder = Recorder(options.record_file, self.trace)
            self._stack.callback(self._recorder.close)

    async def _start_broker(self, access: Access) -> None:
        options = self.options
        self.broker: Broker = Broker(
            access,
            self.trace,
            ssl_context=self._tls,
            host=options.host,
            port=options.mqtt_port,
            deny_visibly=options.deny_visibly,
            on_message=self._on_message,
            faults=self.faults,
        )
        await self.broker.start()
        self._stack.push_async_callback(self.broker.stop)
        self.faults.attach(
            self.broker.go_down,
            self.broker.start,
            lambda rule: self.trace.add("fault", "fault", f"fault: {rule}"),
        )
        self._stack.push_async_callback(self.faults.detach)
        address = {BROKER_HOST: self.broker.host, BROKER_PORT: str(self.broker.port)}
        self.settings.define(SYSTEM_PLUGIN, address)

    async def _start_api(self, access: Access) -> None:
        options = self.options
        https_port, http_port = options.https_port, options.http_port
        if https_port is None:
            https_port, http_port = read_ports(self.root.appsettings)
        self.plugins: PluginsApi = PluginsApi(self.settings, self._logger, self.trace)
        routes = endpoints(
            PublicApi(self.plugins, self.jobs),
            PluginSettingsApi(self.settings, self.trace, bare_values=options.bare_values),
            self.plugins,
            JobsApi(self.jobs, self.validate, self.start_run, self.trace),
        )
        if options.replay_file:
            replay = Replay(options.replay_file, self.broker)
            self._stack.callback(replay.stop)
            routes = [*replay.endpoints(), *routes]
        self.api: ApiServer = ApiServer(
            routes,
            access,
            self.trace,
            self._tls,
            host=options.host,
            port=https_port,
            http_port=http_port,
            faults=self.faults,
            around=[self._recorder.exchange] if self._recorder else [],
        )
        await self.api.start()
        self._stack.push_async_callback(self.api.stop)
        write_ports(self.root.appsettings, self.api.port, self.api.http_port)

    async def _start_console(self, port: int) -> None:
        from epm_task.simulator.console.documents import Sources  # noqa: PLC0415  # few have one
        from epm_task.simulator.console.server import Console  # noqa: PLC0415

        sources = Sources(
            root=self.root,
            trace=self.trace,
            jobs=self.jobs,
            settings=self.settings,
            faults=self.faults,
            history=self.history,
            scheduler=self.scheduler,
            start_run=self.start_run,
            facts=self.facts,
        )
        self.console = Console(sources)
        await self.console.start(port)
        self._stack.push_async_callback(self.console.stop)

    def _make_runner(self) -> None:
        surroundings = TaskSurroundings(
            self.root,
            self.registry,
            self.trace,
            {
                **agent_environment(self.options.environ),
                STATE_VARIABLE: str((self.options.state_folder or self.root.states).absolute()),
            },
            grace_seconds=self.options.grace_seconds,
            faults=self.faults,
            turns=Turns(),
        )
        self.runner: JobRunner = JobRunner(
            surroundings,
            base_url=self.api.base_url,
            settings=self.settings,
            jobs=self.jobs,
            history=self.history,
            conditions=self.options.conditions,
        )
        self._stack.push_async_callback(self.runner.stop)

    def _on_message(self, message: Message) -> None:
        self.history.message(message)
        publisher = self.history.job_of(message.run_id)
        self.scheduler.message(message.topic, message.payload, publisher)
        self.faults.message_seen()
        if self._recorder:
            self._recorder.message(message)
        if self.console:
            self.console.observer.message(message)
