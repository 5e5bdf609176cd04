"""An agent view is what can be seen of a running agent: addresses, files, settings, trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.simulator.faults import Faults
    from epm_task.simulator.live_settings import LiveSettings
    from epm_task.simulator.local_agent import LocalAgent
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
