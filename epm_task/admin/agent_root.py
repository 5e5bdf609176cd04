"""An agent root is the folder of an installed agent, as an administrator there sees it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Where agents were seen, by `sys.platform`: the vendor's examples first, then from the field.
PRESETS: Final = {
    "win32": (
        r"C:\Program Files\KeeperPrivilegeManager",
        r"C:\Program Files\Keeper Security\Endpoint Privilege Manager",
    ),
    "darwin": ("/usr/local/KeeperPrivilegeManager", "/Library/Keeper/sbin"),
    "linux": ("/opt/KeeperPrivilegeManager", "/opt/keeper/sbin"),
}
#: Settings files have a few KiB.
_MAX_BYTES: Final = 1024 * 1024


class Ports(NamedTuple):
    """What `appsettings.json` names; None for what it does not."""

    https: int | None
    http: int | None


class AgentRoot(NamedTuple):
    """The folders and files below the root.

    Attributes:
        path: The root itself.
    """

    path: Path

    @property
    def appsettings(self) -> Path:
        """The file that names the ports."""
        return self.path / "appsettings.json"

    @property
    def jobs(self) -> Path:
        """The folder of the job documents."""
        return self.path / "Jobs"

    @property
    def jobs_bin(self) -> Path:
        """The folder of the binaries, one folder for each command."""
        return self.jobs / "bin"

    @property
    def plugins(self) -> Path:
        """The folder of the plugins' settings."""
        return self.path / "Plugins"

    @property
    def keeper_logger(self) -> Path:
        """The log of what tasks publish."""
        return self.path / "Log" / "KeeperLogger.log"

    @property
    def run_history(self) -> Path:
        """The history of runs, which the agent of this package writes."""
        return self.path / "Log" / "runs.jsonl"

    def read_ports(self) -> Ports:
        """Return the ports that `appsettings.json` names.

        Raises:
            ValueError: The file cannot be read, or holds another kind of value.
        """
        section = read_json(self.appsettings).get("Settings")
        named = section if isinstance(section, dict) else {}
        return Ports(_port(named.get("KestrelHttpsPort")), _port(named.get("KestrelHttpPort")))


def find_root(given: Path | None, presets: Iterable[str] | None = None) -> AgentRoot | None:
    """Return the root that was given, else the first preset that exists, else None."""
    if given is not None:
        return AgentRoot(given.absolute())
    names = PRESETS.get(sys.platform, ()) if presets is None else presets
    return next((AgentRoot(path) for name in names if (path := Path(name)).is_dir()), None)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of the agent.

    Raises:
        ValueError: The file cannot be read, or holds no JSON object; the message is the reason.
    """
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON ({error})") from None
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    return document


def _port(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text) < 65_536 else None
