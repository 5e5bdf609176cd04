"""Answer the six endpoints of the Plugin Settings API from the settings store.

The vendor documents the paths and the first answer; the other bodies are ours and stated below.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from epm_task.simulator.api.answers import absent, invalid, read_object
from epm_task.simulator.settings import UnknownKey, UnknownPlugin
from epm_task.simulator.web.exchange import json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from epm_task.simulator.settings import SettingsStore
    from epm_task.simulator.trace import Trace
    from epm_task.simulator.web.exchange import Request, Response

    _Result = TypeVar("_Result")


class PluginSettingsApi(NamedTuple):
    """The endpoints below `/api/PluginSettings`."""

    store: SettingsStore
    trace: Trace
    #: Whether a single value is a bare JSON string, else `{"value": …}`; the vendor does not say.
    bare_values: bool = True

    async def read_all(self, request: Request) -> Response:
        """Answer the merged settings: one flat object of text values."""
        return json_response(await _in_thread(self.store.merged, request.names["plugin"]))

    async def read_one(self, request: Request) -> Response:
        """Answer one merged value: a JSON string, or `{"value": …}`."""
        names = request.names
        value = await _in_thread(self.store.value, names["plugin"], names["setting"])
        return json_response(value if self.bare_values else {"value": value})

    async def write(self, request: Request) -> Response:
        """Write `{"value": …}` into unified storage; answered when it is durable.

        The answer is `{"message", "pluginName", "settingName"}`.
        """
        plugin, setting = request.names["plugin"], request.names["setting"]
        body = await read_object(request)
        if "value" not in body:
            raise invalid(['the body must be {"value": "…"}'])
        await _in_thread(self.store.put, plugin, setting, body["value"])
        what = f"{plugin}: {setting} was written by the API"
        self.trace.add("settings", "saved", what, plugin=plugin)
        return json_response(
            {"message": "Setting saved", "pluginName": plugin, "settingName": setting}
        )

    async def revert(self, request: Request) -> Response:
        """Import one plugin's JSON on disk again; the answer is `{"message", "pluginName"}`."""
        plugin = request.names["plugin"]
        await _in_thread(self.store.revert, plugin)
        what = f"{plugin}: reverted to its JSON on disk"
        self.trace.add("settings", "reverted", what, plugin=plugin)
        return json_response({"message": "Settings reverted", "pluginName": plugin})

    async def revert_all(self, _: Request) -> Response:
        """Import all plugins' JSON on disk again; the answer is `{"message", "count"}`."""
        await _in_thread(self.store.revert_all)
        self.trace.add("settings", "reverted", "all plugins: reverted to their JSON on disk")
        for problem in self.store.problems:
            what = "a plugin's JSON was not imported"
            self.trace.add("settings", "not_loaded", what, reason=str(problem))
        return json_response({"message": "Settings reverted", "count": len(self.store.plugins())})

    async def status(self, request: Request) -> Response:
        """Answer what `SettingsStore.status` returns."""
        return json_response(await _in_thread(self.store.status, request.names["plugin"]))


async def _in_thread(call: Callable[..., _Result], *arguments: object) -> _Result:
    """Run a call of the store beside the loop, as it may wait for the disk."""
    try:
        return await asyncio.to_thread(call, *arguments)
    except (UnknownPlugin, UnknownKey) as error:
        raise absent(error.what) from error
