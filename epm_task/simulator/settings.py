"""Merge the settings of each plugin from three layers.

Highest first: unified storage (values that the API or a policy wrote; kept in one file, so that
they survive a restart), the plugin's JSON on disk as it was last imported, compiled-in defaults.
The disk is imported at the start, and again by `revert`, which also drops what was written for
the plugin. A plugin exists when one of the layers knows it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import MutableMapping
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.json_text import write_json
from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.errors import EpmTaskError
from epm_task.files import documents, remove_leftovers, write_atomically
from epm_task.simulator.start_error import UnusableFile, read_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


_Layer = dict[str, dict[str, str]]


class UnknownPlugin(EpmTaskError, KeyError):
    """No layer knows this plugin."""

    __str__ = EpmTaskError.__str__

    def __init__(self, plugin: str) -> None:
        super().__init__(
            f"plugin {plugin!r} is not known", fix="put its JSON into Plugins/, or correct the name"
        )


class UnknownKey(EpmTaskError, KeyError):
    """No layer of the plugin knows this setting key."""

    __str__ = EpmTaskError.__str__

    def __init__(self, plugin: str, key: str) -> None:
        super().__init__(
            f"setting {key!r} of {plugin} is not known", fix="add it, or correct its key"
        )


class SettingsStore:
    """The settings of all plugins; may be used from any thread.

    `store["P"]["k"] = 1` makes the plugin P when it does not exist; other keys of it stay.

    *plugins* is the folder of their JSON on disk; *store_file*, for the unified storage, is made at
    the first write.

    Raises:
        UnusableFile: The store file is broken. It is not overwritten.

    Attributes:
        problems: What was wrong with plugin files at the last import; the others were imported.
    """

    def __init__(
        self,
        plugins: Path,
        store_file: Path,
        compiled_in: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._plugins = plugins
        self._file = store_file
        self._lock = RLock()
        self._compiled_in: _Layer = {SYSTEM_PLUGIN: {}}
        for plugin, settings in (compiled_in or {}).items():
            self.define(plugin, settings)
        remove_leftovers(store_file.parent)
        self._unified = _read_store(store_file)
        self._disk: _Layer = {}
        self.problems: list[UnusableFile] = []
        self._import_all()

    def define(self, plugin: str, settings: Mapping[str, Any]) -> None:
        """Add compiled-in defaults, such as the broker's address once it is known."""
        texts = {key: setting_text(value) for key, value in settings.items()}
        with self._lock:
            self._compiled_in.setdefault(plugin, {}).update(texts)

    def __getitem__(self, plugin: str) -> PluginSettings:
        return PluginSettings(self, plugin)

    def __setitem__(self, plugin: str, settings: Mapping[str, Any]) -> None:
        for key, value in settings.items():
            self.put(plugin, key, value, create=True)

    def __iter__(self) -> Iterator[str]:
        return iter(self.plugins())

    def __contains__(self, plugin: object) -> bool:
        return plugin in self.plugins()

    def plugins(self) -> list[str]:
        """Return the names of all plugins, sorted."""
        with self._lock:
            return sorted({*self._compiled_in, *self._disk, *self._unified})

    def merged(self, plugin: str) -> dict[str, str]:
        """Return the plugin's effective settings.

        Raises:
            UnknownPlugin: No layer knows it.
        """
        with self._lock:
            self._require(plugin)
            layers = (self._compiled_in, self._disk, self._unified)
            return {key: text for layer in layers for key, text in layer.get(plugin, {}).items()}

    def by_layer(self) -> list[tuple[str, str, str, str]]:
        """Return plugin, key, effective value, and the layer that it comes from, sorted.

        The layers are `built in`, `file` and `written`.
        """
        found: dict[tuple[str, str], tuple[str, str]] = {}
        with self._lock:
            layers = {"built in": self._compiled_in, "file": self._disk, "written": self._unified}
            for name, layer in layers.items():
                for plugin, settings in layer.items():
                    found |= {(plugin, key): (text, name) for key, text in settings.items()}
        return [(*place, *what) for place, what in sorted(found.items())]

    def value(self, plugin: str, key: str) -> str:
        """Return one effective setting.

        Raises:
            UnknownPlugin, UnknownKey: The name is not known.
        """
        settings = self.merged(plugin)
        if key not in settings:
            raise UnknownKey(plugin, key)
        return settings[key]

    def put(self, plugin: str, key: str, value: Any, *, create: bool = False) -> None:
        """Write one setting, text or typed, into unified storage; it survives a kill at once.

        The key may be new; with *create* the plugin may be new too.

        Raises:
            UnknownPlugin: No layer knows it, or it cannot be a plugin's name.
            OSError: The file could not be written; nothing has changed.
        """
        with self._lock:
            if not (create and is_plugin_name(plugin)):
                self._require(plugin)
            settings = {**self._unified.get(plugin, {}), key: setting_text(value)}
            self._write({**self._unified, plugin: settings})

    def revert(self, plugin: str) -> None:
        """Import the plugin's JSON on disk again, and drop what was written for it.

        Raises:
            UnknownPlugin: No layer knows it.
            UnusableFile, OSError: A file could not be read or written; nothing has changed.
        """
        with self._lock:
            self._require(plugin)
            disk = self._on_disk(plugin)
            self._write({name: kept for name, kept in self._unified.items() if name != plugin})
            self._disk.pop(plugin, None)
            if disk is not None:
                self._disk[plugin] = disk

    def revert_all(self) -> None:
        """Import all plugins' JSON on disk again, and drop everything that was written.

        Broken files go to `problems`; their plugins keep what was imported before.

        Raises:
            OSError: The store could not be written; nothing has changed.
        """
        with self._lock:
            self._write({})
            self._import_all()

    def status(self, plugin: str) -> dict[str, object]:
        """Return whether the plugin's settings differ from its JSON on disk, with hashes.

        The vendor documents "configuration change and hash status" without key names; these are
        ours: `changed` (something was written, or the file has changed, since the last import),
        `effectiveHash`, `importedHash`, and `diskHash` of the file as it is now (null: no file).

        Raises:
            UnknownPlugin, UnusableFile: No layer knows it, or its JSON on disk is broken.
        """
        with self._lock:
            effective = self.merged(plugin)
            imported = self._disk.get(plugin)
            disk = self._on_disk(plugin)
            return {
                "pluginName": plugin,
                "changed": bool(self._unified.get(plugin)) or disk != imported,
                "effectiveHash": settings_hash(effective),
                "importedHash": None if imported is None else settings_hash(imported),
                "diskHash": None if disk is None else settings_hash(disk),
            }

    def _require(self, plugin: str) -> None:
        if any(plugin in layer for layer in (self._compiled_in, self._disk, self._unified)):
            return
        # A plugin that was deployed while the agent runs is imported when it is first asked for.
        disk = self._on_disk(plugin)
        if disk is None:
            raise UnknownPlugin(plugin)
        self._disk[plugin] = disk

    def _on_disk(self, plugin: str) -> dict[str, str] | None:
        path = self._plugins / f"{plugin}.json"
        if not (is_plugin_name(plugin) and path.is_file()):
            return None
        # Windows and macOS find a file by a name of another case, which is another plugin's.
        if path.name not in (each.name for each in self._plugins.iterdir()):
            return None
        return {key: setting_text(value) for key, value in read_object(path).items()}

    def _import_all(self) -> None:
        self.problems = []
        before, self._disk = self._disk, {}
        for plugin in [path.stem for path in documents(self._plugins)]:
            try:
                disk = self._on_disk(plugin)
            except UnusableFile as error:
                self.problems.append(error)
                disk = before.get(plugin, {})
            if disk is not None:
                self._disk[plugin] = disk

    def _write(self, unified: _Layer) -> None:
        if unified != self._unified:
            write_atomically(self._file, write_json({"version": 1, "plugins": unified}))
            self._unified = unified


def _read_store(path: Path) -> _Layer:
    if not path.exists():
        return {}
    document = read_object(path)
    plugins = document.get("plugins")
    if document.get("version") != 1 or not isinstance(plugins, dict):
        raise UnusableFile(path, 'it does not hold settings: "version": 1 or "plugins" is missing')
    for plugin, settings in plugins.items():
        if not isinstance(settings, dict) or not all(isinstance(v, str) for v in settings.values()):
            raise UnusableFile(path, f"the settings of {plugin} must be an object of text values")
    return plugins


#: A plugin's id is a file name, so it must not lead out of the folder.
_PLUGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def setting_text(value: Any) -> str:
    """Return a typed JSON value as the text that the API serves.

    Text stays; `true`, `false` and numbers are written as in JSON; null is empty; an object with
    `value` gives that value; other objects and arrays are JSON text.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, dict) and "value" in value:
        return setting_text(value["value"])
    return json.dumps(value, ensure_ascii=False)


def is_plugin_name(name: str) -> bool:
    """Return whether a plugin can have this name."""
    return _PLUGIN.fullmatch(name) is not None


def settings_hash(settings: Mapping[str, str]) -> str:
    """Return the SHA-256 of settings, which does not depend on their order."""
    text = json.dumps(dict(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class PluginSettings(MutableMapping[str, str]):
    """One plugin's settings: a read merges all layers, a write is a PUT of the API.

    It wins over the disk, it is durable, and `revert` takes it back. Typed values become text.
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
        return self._store.merged(self._plugin) if self._plugin in self._store else {}
