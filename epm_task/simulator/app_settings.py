"""The application settings are `appsettings.json`, which names the agent's ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epm_task.files.atomic_file import write_atomically
from epm_task.simulator.json_text import BadJson, parse_object, write_json
from epm_task.simulator.unusable_file import UnusableFile

if TYPE_CHECKING:
    from pathlib import Path

_SECTION = "Settings"
_HTTPS = "KestrelHttpsPort"
_HTTP = "KestrelHttpPort"


def read_ports(path: Path) -> tuple[int, int]:
    """Return the HTTPS and the HTTP port that the file names; 0 for one that it does not.

    Raises:
        UnusableFile: The file is broken; it is not overwritten.
    """
    section = _read(path).get(_SECTION)
    named = section if isinstance(section, dict) else {}
    return _port(path, named.get(_HTTPS)), _port(path, named.get(_HTTP))


def write_ports(path: Path, https_port: int, http_port: int | None) -> None:
    """Write the ports that are in use; everything else in the file stays.

    Raises:
        UnusableFile: The file is broken; it is not overwritten.
    """
    document = _read(path)
    section = document.get(_SECTION)
    ports: dict[str, Any] = {_HTTPS: https_port}
    if http_port is not None:
        ports[_HTTP] = http_port
    document[_SECTION] = {**(section if isinstance(section, dict) else {}), **ports}
    write_atomically(path, write_json(document))


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_object(path.read_bytes())
    except FileNotFoundError:
        return {}
    except BadJson as error:
        raise UnusableFile(path, error.why, line=error.line) from error
    except OSError as error:
        raise UnusableFile(path, error.strerror or str(error)) from error


def _port(path: Path, value: object) -> int:
    if value is None:
        return 0
    text = str(value)
    if not text.isdecimal() or int(text) > 65_535:
        raise UnusableFile(path, f"{_SECTION}: {value!r} is no port")
    return int(text)
