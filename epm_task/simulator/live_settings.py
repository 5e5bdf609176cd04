"""Live settings are the store seen as a mapping: `settings["KeyScanner"]["max_bytes"] = "10"`."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.simulator.settings_store import SettingsStore


class LiveSettings:
    """All plugins of a store, by name; the first write makes a plugin that does not exist yet."""

    def __init__(self, store: SettingsStore) -> None:
        self._store = store

    def __getitem__(self, plugin: str) -> PluginSettings:
        return PluginSettings(self._store, plugin)

    def __setitem__(self, plugin: str, settings: dict[str, Any]) -> None:
        """Write every setting of *settings*; other keys of the plugin stay."""
        for key, value in settings.items():
            self[plugin][key] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.plugins())

    def __contains__(self, plugin: object) -> bool:
        return plugin in self._store.plugins()


class PluginSettings(MutableMapping[str, str]):
    """One plugin's settings: a read merges all layers, a write goes to unified storage.

    So a write here is the same as a PUT of the API: it wins over the disk, it is durable, and
    `revert` takes it back. Typed values become text. A key cannot be deleted, as the API has no way
    to do so.
    """

    def __init__(self, store: SettingsStore, plugin: str) -> None:
        self._store = store
        self._plugin = plugin

    def __getitem__(self, key: str) -> str:
        return self._merged()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._store.put(self._plugin, key, value, create=True)

    def __delitem__(self, key: str) -> None:
        raise TypeError(f"setting {key} of {self._plugin} cannot be deleted; revert the plugin")

    def __iter__(self) -> Iterator[str]:
        return iter(self._merged())

    def __len__(self) -> int:
        return len(self._merged())

    def _merged(self) -> dict[str, str]:
        known = self._plugin in self._store.plugins()
        return self._store.merged(self._plugin) if known else {}
