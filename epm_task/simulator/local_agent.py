"""A local agent is the whole agent on one root: API, broker, job runner, scheduler, stores."""

from __future__ import annotations

import errno
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from epm_task.simulator.access import Access
from epm_task.simulator.agent_files import AgentFiles
from epm_task.simulator.agent_options import AgentOptions
from epm_task.simulator.api.jobs import JobsApi
from epm_task.simulator.api.plugin_settings import PluginSettingsApi
from epm_task.simulator.api.public import PublicApi
from epm_task.simulator.api.server import ApiServer
from epm_task.simulator.app_settings import read_ports, write_ports
from epm_task.simulator.broker import Broker, Message
from epm_task.simulator.broker_switch import BrokerSwitch
from epm_task.simulator.clock import Clock
from epm_task.simulator.faults import Faults
from epm_task.simulator.job_runner import JobRunner, agent_environment
from epm_task.simulator.job_store import UnknownJob
from epm_task.simulator.job_validator import Validation, validate
from epm_task.simulator.layout import AgentRoot
from epm_task.simulator.listening_socket import holder
from epm_task.simulator.registry import ProcessRegistry
from epm_task.simulator.replay import Replay
from epm_task.simulator.scheduler import Scheduler
from epm_task.simulator.settings_store import SYSTEM_PLUGIN, UnknownPlugin
from epm_task.simulator.start_error import PortTaken
from epm_task.simulator.task_runner import RunOptions, TaskSurroundings
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from epm_task.simulator.certificates import CertificateFiles
    from epm_task.simulator.fault_rule import FaultRule
    from epm_task.simulator.job_run import JobRun
    from epm_task.simulator.run_observer import RunObserver

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
        switch = BrokerSwitch(self.broker)
        self._stack.push_async_callback(switch.stop)
        self.faults.attach(switch, self._note_fault)
        address = {"broker.host": self.broker.host, "broker.port": str(self.broker.port)}
        self.settings.define(SYSTEM_PLUGIN, address)

    async def _start_api(self, access: Access) -> None:
        options = self.options
        https_port, http_port = options.https_port, options.http_port
        if https_port is None:
            https_port, http_port = read_ports(self.root.appsettings)
        settings = PluginSettingsApi(self.settings, self.trace, bare_values=options.bare_values)
        recorder = self._files.recorder
        replay = [Replay(options.replay_file, self.broker)] if options.replay_file else []
        for one in replay:
            self._stack.callback(one.stop)
        self.api = ApiServer(
            [
                *replay,
                settings,
                JobsApi(self.jobs, self.validate, self.start_run, self.trace),
                PublicApi(self.settings, self.jobs),
            ],
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
            disturbance=self.faults,
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
        self.trace.add("fault", f"fault: {rule}")

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
