"""A settings layer holds the settings of plugins from one source, all of them text."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from epm_task.simulator.json_text import BadJson, parse_object
from epm_task.simulator.unusable_file import UnusableFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

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


def read_plugin_file(path: Path) -> dict[str, str]:
    """Return the settings that stand in one `Plugins/{id}.json`.

    Raises:
        UnusableFile: It is no JSON object, or cannot be read.
    """
    try:
        document = parse_object(path.read_bytes())
    except BadJson as error:
        raise UnusableFile(path, error.why, line=error.line) from error
    except OSError as error:
        raise UnusableFile(path, error.strerror or str(error)) from error
    return {key: setting_text(value) for key, value in document.items()}


def plugin_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Iterate over plugin ids and their files; other names in the folder are passed over."""
    for path in sorted(folder.glob("*.json")):
        if is_plugin_name(path.stem) and path.is_file():
            yield path.stem, path


def settings_hash(settings: Mapping[str, str]) -> str:
    """Return the SHA-256 of settings, which does not depend on their order."""
    text = json.dumps(dict(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
