"""List every endpoint of the local API, and answer the three that anyone on this machine may call.

The vendor documents what the public endpoints say, not the names of the keys; the names are ours.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, NamedTuple

import epm_task
from epm_task.contract.names import PLUGIN_SETTINGS_PATH, SYSTEM_PLUGIN
from epm_task.simulator.web.exchange import json_response
from epm_task.simulator.web.routes import Route

if TYPE_CHECKING:
    from epm_task.simulator.api.jobs import JobsApi
    from epm_task.simulator.api.plugin_settings import PluginSettingsApi
    from epm_task.simulator.api.plugins import PluginsApi
    from epm_task.simulator.jobs.store import JobStore
    from epm_task.simulator.web.exchange import Request, Response

_VERSION: Final = f"epm-task {epm_task.__version__}"
_SETTINGS: Final = PLUGIN_SETTINGS_PATH
_PLUGINS: Final = "/api/plugins"
_JOBS: Final = "/api/Jobs"


def endpoints(
    public: PublicApi, settings: PluginSettingsApi, plugins: PluginsApi, jobs: JobsApi
) -> list[Route]:
    """Return the routes: three public, seven of the Plugin tier, twelve of the Admin tier.

    The first that matches counts, so fixed paths come before names. The gate finds the tier.
    """
    return [
        Route("GET, HEAD", "/", public.service),
        Route("GET, HEAD", "/health", public.health),
        Route("GET, HEAD", "/api/system/status", public.status),
        Route("POST", f"{_SETTINGS}/revert-all", settings.revert_all),
        Route("GET", f"{_SETTINGS}/{{plugin}}", settings.read_all),
        Route("GET", f"{_SETTINGS}/{{plugin}}/status", settings.status),
        Route("POST", f"{_SETTINGS}/{{plugin}}/revert", settings.revert),
        Route("GET", f"{_SETTINGS}/{{plugin}}/{{setting}}", settings.read_one),
        Route("PUT", f"{_SETTINGS}/{{plugin}}/{{setting}}", settings.write),
        Route("GET", _PLUGINS, plugins.read_all),
        Route("POST", f"{_PLUGINS}/{{plugin}}/start", plugins.start),
        Route("POST", f"{_PLUGINS}/{{plugin}}/stop", plugins.stop),
        Route("POST", f"{_PLUGINS}/{{plugin}}/restart", plugins.restart),
        Route("GET", _JOBS, jobs.read_all),
        Route("POST", _JOBS, jobs.save),
        Route("POST", f"{_JOBS}/validate", jobs.check),
        Route("POST", f"{_JOBS}/reload", jobs.reload),
        Route("GET", f"{_JOBS}/{{job_id}}", jobs.read_one),
        Route("PUT", f"{_JOBS}/{{job_id}}", jobs.replace),
        Route("DELETE", f"{_JOBS}/{{job_id}}", jobs.delete),
        Route("POST", f"{_JOBS}/{{job_id}}/trigger", jobs.trigger),
        Route("POST", f"{_JOBS}/{{job_id}}/run", jobs.run),
    ]


class PublicApi(NamedTuple):
    """The endpoints that need no credential."""

    plugins: PluginsApi
    jobs: JobStore

    async def service(self, _: Request) -> Response:
        """Answer `{"service", "status", "version"}`."""
        return json_response({"service": SYSTEM_PLUGIN, "status": "running", "version": _VERSION})

    async def health(self, _: Request) -> Response:
        """Answer `{"status", "timestamp", "version"}`."""
        now = dt.datetime.now(dt.UTC).isoformat()
        return json_response({"status": "healthy", "timestamp": now, "version": _VERSION})

    async def status(self, _: Request) -> Response:
        """Answer `{"running", "plugins", "jobs": {"total", "enabled"}}`."""
        jobs = self.jobs.all()
        enabled = sum(job.get("enabled", True) is not False for job in jobs)
        counts = {"total": len(jobs), "enabled": enabled}
        return json_response(
            {"running": True, "plugins": len(self.plugins.names()), "jobs": counts}
        )
