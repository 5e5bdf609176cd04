"""Run a real API server in a thread of the test, with a store of its own."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import httpx
from peers.patience import PATIENCE
from simulator.process_peer import launch_of

from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.simulator.api.endpoints import PublicApi, endpoints
from epm_task.simulator.api.jobs import JobsApi
from epm_task.simulator.api.plugin_settings import PluginSettingsApi
from epm_task.simulator.api.plugins import PluginsApi
from epm_task.simulator.api.server import ApiServer
from epm_task.simulator.certificates import open_authority, server_context
from epm_task.simulator.faults.faults import Faults
from epm_task.simulator.jobs.store import JobStore
from epm_task.simulator.jobs.validator import validate
from epm_task.simulator.keeper_logger import KeeperLogger
from epm_task.simulator.processes.registry import Access, ProcessRegistry
from epm_task.simulator.settings import SettingsStore
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from epm_task.simulator.trace import TraceEvent


class ApiAgent:
    """What the API needs of an agent."""

    def __init__(self, root: Path, *, trust: Any = "exact", bare: bool = True) -> None:
        self.root = root
        self.bin = root / "Jobs" / "bin"
        for folder in (self.bin, root / "Plugins", root / "certs"):
            folder.mkdir(parents=True, exist_ok=True)
        authority, self.files = open_authority(root / "certs")
        self.registry = ProcessRegistry(trust)
        self.trace = Trace()
        self.faults = Faults()
        self.runs: list[tuple[str, str, dict[str, object]]] = []
        compiled_in = {SYSTEM_PLUGIN: {"broker.host": "127.0.0.1", "broker.port": "8675"}}
        self.settings = SettingsStore(root / "Plugins", root / "settings-store.json", compiled_in)
        self.jobs = JobStore(root / "Jobs")
        self.logger = KeeperLogger(root / "KeeperLogger.log")
        plugins = PluginsApi(self.settings, self.logger, self.trace)
        self.server = ApiServer(
            endpoints(
                PublicApi(plugins, self.jobs),
                PluginSettingsApi(self.settings, self.trace, bare_values=bare),
                plugins,
                JobsApi(self.jobs, self.validate, self.start_run, self.trace),
            ),
            Access(self.registry),
            self.trace,
            server_context(authority),
            faults=self.faults,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def validate(self, job: Any) -> Any:
        """Validate against this root."""
        return validate(job, layout_bin=self.bin)

    def start_run(self, job: Any, *, trigger: str, context: dict[str, object]) -> str:
        """Note the run that would start."""
        self.runs.append((job["id"], trigger, context))
        return f"run{len(self.runs)}"

    def trust_this_process(self) -> None:
        """Register the test itself as a launched process."""
        self.registry.add(launch_of(os.getpid()))

    def client_context(self, *, admin: bool = False) -> ssl.SSLContext:
        """Return TLS that trusts the agent's CA, with the admin certificate when asked."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.files.ca)
        if admin:
            context.load_cert_chain(self.files.admin_cert, self.files.admin_key)
        return context

    @contextmanager
    def client(self, *, admin: bool = False) -> Iterator[httpx.Client]:
        """Yield an HTTP client that keeps its connection."""
        context = self.client_context(admin=admin)
        url = self.server.base_url
        with httpx.Client(
            base_url=url, verify=context, trust_env=False, timeout=PATIENCE
        ) as client:
            yield client

    def add_binary(self, command: str = "probe") -> None:
        """Put an executable script into the layout."""
        path = self.bin / command / command
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\nexit 0\n")
        path.chmod(0o755)

    def last(self, kind: str = "api") -> TraceEvent:
        """Return the newest event of one kind."""
        return [event for event in self.trace if event.kind == kind][-1]

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self.server.start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self.server.stop())
        self.logger.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


def job_document(job_id: str = "probe", **fields: Any) -> dict[str, Any]:
    """Return a valid job whose binary is `probe`."""
    task = {"id": "one", "command": "probe", "arguments": "--keeper-api-base={KeeperApiBaseUrl}"}
    return {
        "id": job_id,
        "name": "Probe",
        "schedule": {"intervalMinutes": 5},
        "tasks": [task],
        "mqttTopics": {"allowedPublications": ["KeeperLogger"]},
        **fields,
    }
