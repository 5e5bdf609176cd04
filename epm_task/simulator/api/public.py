"""The public endpoints tell anyone on this machine that the agent is there.

The vendor documents what they say, not the names of the keys; the names are ours.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import epm_task
from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.simulator.api.answers import answer

if TYPE_CHECKING:
    from aiohttp.web import Request, Response, UrlDispatcher

    from epm_task.simulator.jobs.store import JobStore
    from epm_task.simulator.settings import SettingsStore

_VERSION: Final = f"epm-task {epm_task.__version__}"


class PublicApi:
    """The endpoints that need no credential.

    Args:
        settings: Knows the plugins.
        jobs: Knows the jobs.
    """

    def __init__(self, settings: SettingsStore, jobs: JobStore) -> None:
        self._settings = settings
        self._jobs = jobs

    def add_routes(self, router: UrlDispatcher) -> None:
        """Add the three endpoints."""
        router.add_get("/", self.service)
        router.add_get("/health", self.health)
        router.add_get("/api/system/status", self.status)

    async def service(self, request: Request) -> Response:
        """Answer `{"service", "status", "version"}`."""
        del request
        return answer({"service": SYSTEM_PLUGIN, "status": "running", "version": _VERSION})

    async def health(self, request: Request) -> Response:
        """Answer `{"status", "timestamp", "version"}`."""
        del request
        now = dt.datetime.now(dt.UTC).isoformat()
        return answer({"status": "healthy", "timestamp": now, "version": _VERSION})

    async def status(self, request: Request) -> Response:
        """Answer `{"running", "plugins", "jobs": {"total", "enabled"}}`."""
        del request
        jobs = self._jobs.all()
        enabled = sum(job.get("enabled", True) is not False for job in jobs)
        counts = {"total": len(jobs), "enabled": enabled}
        return answer({"running": True, "plugins": len(self._settings.plugins()), "jobs": counts})
