"""A path token is a token that stands for a folder of this machine on every platform."""

from __future__ import annotations

import ntpath
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.simulator.layout import AgentRoot

#: Windows token names and the environment variable that holds each folder.
_WINDOWS_VARIABLES = {
    "systemroot": "SystemRoot",
    "windows": "SystemRoot",
    "systemdrive": "SystemDrive",
    "programfiles": "ProgramFiles",
    "programfilesx86": "ProgramFiles(x86)",
    "userprofile": "USERPROFILE",
    "appdata": "APPDATA",
    "localappdata": "LOCALAPPDATA",
    "programdata": "ProgramData",
    "temp": "TEMP",
}


def path_tokens(
    root: AgentRoot, environ: Mapping[str, str] = os.environ, *, platform: str = sys.platform
) -> dict[str, str]:
    """Return the folder, as text, of each path token that *platform* has.

    The user's folders are those of the account that runs the agent.
    """
    home = Path.home()
    common = {
        "rootdir": home.anchor,
        "documents": str(home / "Documents"),
        "userdocuments": str(home / "Documents"),
        "userdesktop": str(home / "Desktop"),
        "hasdesktop": str(_has_desktop(environ, platform)).lower(),
        "approot": str(root.path),
        "pluginroot": str(root.plugins),
    }
    return common | (_windows(environ) if platform == "win32" else _posix(home, platform))


def _posix(home: Path, platform: str) -> dict[str, str]:
    folders = {
        "bin": "/bin",
        "etc": "/etc",
        "tmp": tempfile.gettempdir(),
        "usr": "/usr",
        "var": "/var",
        "home": str(home),
    }
    if platform == "darwin":
        folders |= {"system": "/System", "library": "/Library"}
    return folders


def _windows(environ: Mapping[str, str]) -> dict[str, str]:
    folders = {
        token: environ[variable]
        for token, variable in _WINDOWS_VARIABLES.items()
        if variable in environ
    }
    if "systemroot" in folders:
        folders["system32"] = ntpath.join(folders["systemroot"], "System32")
        folders["syswow64"] = ntpath.join(folders["systemroot"], "SysWOW64")
    return folders


def _has_desktop(environ: Mapping[str, str], platform: str) -> bool:
    if platform in {"win32", "darwin"}:
        return True
    return "DISPLAY" in environ or "WAYLAND_DISPLAY" in environ
