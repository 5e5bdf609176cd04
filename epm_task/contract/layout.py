"""Find the root folder of an agent, and say where in it the vendor keeps what."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.json_text import BadJson, read_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Where agents were seen, by `sys.platform`: the vendor's examples first, then from the field.
PRESETS: Final[dict[str, tuple[str, ...]]] = {
    "win32": (
        r"C:\Program Files\KeeperPrivilegeManager",
        r"C:\Program Files\Keeper Security\Endpoint Privilege Manager",
        r"C:\Program Files\Keeper Security\Endpoint Privilege Management",
    ),
    "darwin": ("/usr/local/KeeperPrivilegeManager", "/Library/Keeper/sbin"),
    "linux": ("/opt/KeeperPrivilegeManager", "/opt/keeper/sbin"),
}
#: The object in `appsettings.json` that names the ports, and its keys.
PORTS_SECTION: Final = "Settings"
HTTPS_PORT_KEY: Final = "KestrelHttpsPort"
HTTP_PORT_KEY: Final = "KestrelHttpPort"
#: In the same object: the programs that are let in when users run them who are not administrators.
ALLOWED_EXECUTABLES_KEY: Final = "AllowedNonAdminExecutables"
#: The log of what tasks publish, and the run history of this package's agent, which lies beside it.
KEEPER_LOG: Final = "KeeperLogger.log"
RUN_HISTORY: Final = "runs.jsonl"
#: Where an agent's log was seen in the field, and where its plugin says it is, if it does.
_LOG_FOLDER_IN_FIELD: Final = Path("bin", "KeeperLogger", "Log")
_LOG_PLUGIN: Final = "KeeperLogger.json"
_LOG_PATH_KEY: Final = "log.file.path"
_ROOT_TOKEN: Final = re.compile(r"\{(?:approot|rootdir)\}", re.IGNORECASE)
#: `scriptType` by the extension of a program in `Jobs/bin`. The vendor documents `Auto` only.
SCRIPT_TYPES: Final = {
    ".py": "python",
    ".sh": "shell",
    ".ps1": "powershell",
    ".cmd": "batch",
    ".bat": "batch",
}


class AgentRoot:
    """The folders and files of one agent; none of them needs to exist.

    Attributes:
        path: The root, absolute, because tasks run in another folder than the agent.
        appsettings: The file that names the ports.
        jobs_bin: The folder of the programs, one folder for each command.
        keeper_logger: The log of what tasks publish, as this package's agent writes it.
        run_history: The ends of runs, which only the agent of this package writes.
        certificates: The keys of the agent of this package.
        states: What tasks keep between their runs, under the agent of this package.
        store: What was set through the API, in the agent of this package.
        lock_file: What keeps a second agent of this package off the root.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path.absolute()
        self.appsettings: Final = self.path / "appsettings.json"
        self.jobs: Final = self.path / "Jobs"
        self.jobs_bin: Final = self.jobs / "bin"
        self.plugins: Final = self.path / "Plugins"
        self.logs: Final = self.path / "Log"
        self.keeper_logger: Final = self.logs / KEEPER_LOG
        self.run_history: Final = self.logs / RUN_HISTORY
        self.certificates: Final = self.path / "certs"
        self.states: Final = self.path / "State"
        self.store: Final = self.path / "settings-store.json"
        self.lock_file: Final = self.path / "agent.lock"

    def all_logs(self) -> list[Path]:
        """Return where the log may be: as here, as in the field, and as the plugin's settings say.

        None of them needs to exist, and several may.
        """
        found = [self.keeper_logger, self.plugins / _LOG_FOLDER_IN_FIELD / KEEPER_LOG]
        try:
            plugin = read_object(self.plugins / _LOG_PLUGIN)
        except BadJson:
            plugin = {}
        metadata = plugin.get("metadata")
        for settings in (plugin, metadata if isinstance(metadata, dict) else {}):
            named = settings.get(_LOG_PATH_KEY)
            text = (
                _ROOT_TOKEN.sub(lambda _: str(self.path), named) if isinstance(named, str) else ""
            )
            if text and "{" not in text and (path := Path(text)).is_absolute():
                found.append(path if path.suffix == ".log" else path / KEEPER_LOG)
        return list(dict.fromkeys(found))

    def read_ports(self) -> tuple[int | None, int | None]:
        """Return the HTTPS and the HTTP port that `appsettings.json` names, None for what it lacks.

        Raises:
            ValueError: The file cannot be read, or holds another kind of value.
        """
        section = read_object(self.appsettings).get(PORTS_SECTION)
        named = section if isinstance(section, dict) else {}
        return _port(named.get(HTTPS_PORT_KEY)), _port(named.get(HTTP_PORT_KEY))


def allowed_executables(appsettings: Mapping[str, Any]) -> list[str] | None:
    """Return the names in `AllowedNonAdminExecutables`, None when the file has no such list."""
    section = appsettings.get(PORTS_SECTION)
    named = section.get(ALLOWED_EXECUTABLES_KEY) if isinstance(section, dict) else None
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else None


def program_name(task: Mapping[str, Any]) -> str:
    """Return the name of a task's program as that list has it: without path and `.exe`."""
    given = task.get("executablePath") or task.get("command")
    name = PureWindowsPath(given).name if isinstance(given, str) else ""
    return name[: -len(".exe")] if name.casefold().endswith(".exe") else name


def is_listed(name: str, allowed: Iterable[str], platform: str = sys.platform) -> bool:
    """Return whether a program is in that list; the case counts, except on Windows."""
    key = str.casefold if platform == "win32" else str
    return key(name) in map(key, allowed)


def find_root(given: Path | None, presets: Iterable[str] | None = None) -> AgentRoot | None:
    """Return the root that was given, else the first preset that exists, else None."""
    if given is not None:
        return AgentRoot(given)
    names = PRESETS.get(sys.platform, ()) if presets is None else presets
    return next((AgentRoot(path) for name in names if _may_be_folder(path := Path(name))), None)


def _may_be_folder(path: Path) -> bool:
    """Return whether a folder is there, or what is there is closed to this user."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def find_program(
    task: Mapping[str, Any],
    jobs_bin: Path | None,
    search_path: str | None = None,
    platform: str = sys.platform,
) -> Path | None:
    """Return the program of a task: `executablePath`, else in `Jobs/bin/{command}/`, else on PATH.

    A given `executablePath` is the only place looked at: a fall-back would hide its error. PATH is
    that of this process unless *search_path* is given.
    """
    if path := task.get("executablePath"):
        return Path(path) if isinstance(path, str) and _is_file(Path(path)) else None
    command = str(task.get("command") or "")
    if not command or Path(command).name != command:
        return None
    extensions = ("", *SCRIPT_TYPES)
    for extension in (".exe", *extensions) if platform == "win32" else extensions:
        if jobs_bin and _is_file(program := jobs_bin / command / f"{command}{extension}"):
            return program
    return on_path(command, search_path)


if sys.platform == "win32":

    def on_path(name: str, search_path: str | None = None) -> Path | None:
        """Return a program on PATH; `shutil.which` would look in the current folder first."""
        endings = os.environ.get("PATHEXT", ".COM;.EXE;.BAT;.CMD").split(os.pathsep)
        if name.casefold().endswith(tuple(ending.casefold() for ending in endings)):
            endings = [""]
        folders = os.environ.get("PATH", "") if search_path is None else search_path
        files = (
            Path(folder, name + ending)
            for folder in folders.split(os.pathsep)
            if folder
            for ending in endings
        )
        return next((file for file in files if _is_file(file)), None)

else:

    def on_path(name: str, search_path: str | None = None) -> Path | None:
        """Return a program on PATH."""
        found = shutil.which(name, path=search_path)
        return Path(found) if found else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # longer than a name may be, or in a folder that is closed to this user
        return False


def _port(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text) < 65_536 else None
