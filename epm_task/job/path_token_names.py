"""A path token name is a token that stands for a folder, on the systems that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from epm_task.runtime.declaration import OsName

#: The token for the base URL of the local HTTPS API.
API_BASE_URL: Final = "KeeperApiBaseUrl"

_EVERYWHERE: Final = frozenset(
    {
        "rootdir",
        "documents",
        "userdocuments",
        "userdesktop",
        "hasdesktop",
        "approot",
        "pluginroot",
    }
)
_POSIX: Final = _EVERYWHERE | {"bin", "etc", "tmp", "usr", "var", "home"}

#: As the vendor lists them.
PATH_TOKEN_NAMES: Final[dict[OsName, frozenset[str]]] = {
    "windows": _EVERYWHERE
    | {
        "systemroot",
        "windows",
        "systemdrive",
        "system32",
        "syswow64",
        "programfiles",
        "programfilesx86",
        "userprofile",
        "appdata",
        "localappdata",
        "programdata",
        "temp",
    },
    "linux": _POSIX,
    "macOS": _POSIX | {"system", "library"},
}
