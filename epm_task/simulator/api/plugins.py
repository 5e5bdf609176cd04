"""Answer the endpoints that list the agent's plugins, and start, stop or restart one.

The vendor documents the paths, the tiers and the five fields of a plugin. Ours are the object
around the list, the words `Running` and `Stopped`, and the answers to the three commands. No
program of a plugin is run here: the agent itself does the work of KeeperLogger, and only a stop of
that one has an effect.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from typing import TYPE_CHECKING

from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.simulator.api.answers import absent
from epm_task.simulator.settings import UnknownPlugin
from epm_task.simulator.web.exchange import json_response

if TYPE_CHECKING:
    from epm_task.simulator.keeper_logger import KeeperLogger
    from epm_task.simulator.settings import SettingsStore
    from epm_task.simulator.trace import Action, Trace
    from epm_task.simulator.web.exchange import Request, Response


class PluginsApi:
    """The endpoints below `/api/plugins`; every plugin runs from the start of the agent."""

    def __init__(self, store: SettingsStore, logger: KeeperLogger, trace: Trace) -> None:
        self._store = store
        self._logger = logger
        self._trace = trace
        self._began = _now()
        self._stopped: set[str] = set()
        self._starts: dict[str, str] = {}

    def names(self) -> list[str]:
        """Return the ids of all plugins, sorted; the service itself is none."""
        return sorted({KEEPER_LOGGER, *self._store.plugins()} - {SYSTEM_PLUGIN})

    def start_all(self) -> None:
        """Start every plugin that is stopped."""
        for plugin in list(self._stopped):
            self._run(plugin)

    async def read_all(self, _: Request) -> Response:
        """Answer `{"plugins", "count", "message"}`, as the list of jobs does."""
        plugins = [await self._described(name) for name in self.names()]
        message = f"{len(plugins)} plugin{'' if len(plugins) == 1 else 's'}"
        return json_response({"plugins": plugins, "count": len(plugins), "message": message})

    async def start(self, request: Request) -> Response:
        """Start a plugin; one that runs goes on. The answer is `{"message", "pluginName"}`."""
        plugin = await self._plugin(request)
        if plugin in self._stopped:
            self._run(plugin)
        return self._done(plugin, "started")

    async def stop(self, request: Request) -> Response:
        """Stop a plugin until the agent starts again; the answer is that of `start`."""
        plugin = await self._plugin(request)
        self._stopped.add(plugin)
        self._logger.stopped = KEEPER_LOGGER in self._stopped
        return self._done(plugin, "stopped")

    async def restart(self, request: Request) -> Response:
        """Stop and start a plugin; the answer is that of `start`."""
        plugin = await self._plugin(request)
        self._run(plugin)
        return self._done(plugin, "restarted")

    def _run(self, plugin: str) -> None:
        self._stopped.discard(plugin)
        self._starts[plugin] = _now()
        self._logger.stopped = KEEPER_LOGGER in self._stopped

    def _done(self, plugin: str, done: str) -> Response:
        message = f"Plugin {plugin} {done}"
        action: Action = "stopped" if plugin in self._stopped else "started"
        self._trace.add("plugin", action, f"plugin {plugin} was {done} by the API", plugin=plugin)
        return json_response({"message": message, "pluginName": plugin})

    async def _plugin(self, request: Request) -> str:
        plugin = request.names["plugin"]
        if plugin == SYSTEM_PLUGIN:
            raise absent(f"{plugin} is the service itself, and none of its plugins")
        await self._settings(plugin)
        return plugin

    async def _settings(self, plugin: str) -> dict[str, str]:
        try:
            return await asyncio.to_thread(self._store.merged, plugin)
        except UnknownPlugin as error:
            if plugin == KEEPER_LOGGER:
                return {}
            raise absent(error.what) from error

    async def _described(self, plugin: str) -> dict[str, object]:
        settings, running = await self._settings(plugin), plugin not in self._stopped
        return {
            "id": plugin,
            "name": settings.get("name") or plugin,
            "status": "Running" if running else "Stopped",
            "processId": os.getpid() if running and plugin == KEEPER_LOGGER else None,
            "lastStartTime": self._starts.get(plugin, self._began),
        }


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
