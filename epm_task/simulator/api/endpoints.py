"""List every endpoint of the local API, and answer the three that anyone on this machine may call.

The vendor documents what the public endpoints say, not the names of the keys; the names are ours.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

import epm_task
from epm_task.contract.names import PLUGIN_SETTINGS_PATH, SYSTEM_PLUGIN
from epm_task.simulator.api.answers import answer

if TYPE_CHECKING:
    from aiohttp.web import Request, Response

    from epm_task.simulator.api.jobs import JobsApi
    from epm_task.simulator.api.plugin_settings import PluginSettingsApi
    from epm_task.simulator.api.plugins import PluginsApi
    from epm_task.simulator.jobs.store import JobStore

_VERSION: Final = f"epm-task {epm_task.__version__}"
_SETTINGS: Final = PLUGIN_SETTINGS_PATH
_PLUGINS: Final = "/api/plugins"
_JOBS: Final = "/api/Jobs"


def endpoints(
    public: PublicApi, settings: PluginSettingsApi, plugins: PluginsApi, jobs: JobsApi
) -> list[web.AbstractRouteDef]:
    """Return the routes: three public, seven of the Plugin tier, twelve of the Admin tier.

    The first that matches counts, so fixed paths come before names. The gate finds the tier.
    """
    return [
        web.get("/", public.service),
        web.get("/health", public.health),
        web.get("/api/system/status", public.status),
        web.post(f"{_SETTINGS}/revert-all", settings.revert_all),
        web.get(f"{_SETTINGS}/{{plugin}}", settings.read_all, allow_head=False),
        web.get(f"{_SETTINGS}/{{plugin}}/status", settings.status, allow_head=False),
        web.post(f"{_SETTINGS}/{{plugin}}/revert", settings.revert),
        web.get(f"{_SETTINGS}/{{plugin}}/{{setting}}", settings.read_one, allow_head=False),
        web.put(f"{_SETTINGS}/{{plugin}}/{{setting}}", settings.write),
        web.get(_PLUGINS, plugins.read_all, allow_head=False),
        web.post(f"{_PLUGINS}/{{plugin}}/start", plugins.start),
        web.post(f"{_PLUGINS}/{{plugin}}/stop", plugins.stop),
        web.post(f"{_PLUGINS}/{{plugin}}/restart", plugins.restart),
        web.get(_JOBS, jobs.read_all, allow_head=False),
        web.post(_JOBS, jobs.save),
        web.post(f"{_JOBS}/validate", jobs.check),
        web.post(f"{_JOBS}/reload", jobs.reload),
        web.get(f"{_JOBS}/{{job_id}}", jobs.read_one, allow_head=False),
        web.put(f"{_JOBS}/{{job_id}}", jobs.replace),
        web.delete(f"{_JOBS}/{{job_id}}", jobs.delete),
        web.post(f"{_JOBS}/{{job_id}}/trigger", jobs.trigger),
        web.post(f"{_JOBS}/{{job_id}}/run", jobs.run),
    ]


@dataclass(frozen=True, slots=True)
class PublicApi:
    """The endpoints that need no credential."""

    plugins: PluginsApi
    jobs: JobStore

    async def service(self, _: Request) -> Response:
        """Answer `{"service", "status", "version"}`."""
        return answer({"service": SYSTEM_PLUGIN, "status": "running", "version": _VERSION})

    async def health(self, _: Request) -> Response:
        """Answer `{"status", "timestamp", "version"}`."""
        now = dt.datetime.now(dt.UTC).isoformat()
        return answer({"status": "healthy", "timestamp": now, "version": _VERSION})

    async def status(self, _: Request) -> Response:
        """Answer `{"running", "plugins", "jobs": {"total", "enabled"}}`."""
        jobs = self.jobs.all()
        enabled = sum(job.get("enabled", True) is not False for job in jobs)
        counts = {"total": len(jobs), "enabled": enabled}
        return answer({"running": True, "plugins": len(self.plugins.names()), "jobs": counts})
