"""A task is skipped when the plugin setting that it names is false.

The vendor names the option `SkipWhenPluginSettingFalse` and not its form. Ours: the text
`Plugin:key`, the text `key` for the system-wide settings, or `{"plugin": …, "setting": …}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from epm_task.simulator.settings_store import SYSTEM_PLUGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FALSE: Final = frozenset({"false", "0", "no", "off"})


def skip_reason(
    task: Mapping[str, Any], settings: Callable[[str], Mapping[str, str] | None]
) -> str:
    """Return why *task* is skipped, or an empty text; a setting that does not exist skips nothing.

    Args:
        task: The task as it stands in the job document.
        settings: Returns the merged settings of a plugin, or None when it is unknown.
    """
    named = task.get("SkipWhenPluginSettingFalse") or task.get("skipWhenPluginSettingFalse")
    if not named:
        return ""
    plugin, key = _place(named)
    value = (settings(plugin) or {}).get(key)
    if value is None or value.strip().casefold() not in _FALSE:
        return ""
    return f"SkipWhenPluginSettingFalse: {key} of {plugin} is false"


def _place(named: object) -> tuple[str, str]:
    if isinstance(named, dict):
        plugin = named.get("plugin") or named.get("pluginName") or SYSTEM_PLUGIN
        return str(plugin), str(named.get("setting") or named.get("settingName") or "")
    plugin, colon, key = str(named).partition(":")
    return (plugin, key) if colon else (SYSTEM_PLUGIN, plugin)
