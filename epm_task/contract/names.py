"""The names and values that the vendor uses in settings, arguments and job documents."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The plugin name under which the agent gives its merged, system-wide settings.
SYSTEM_PLUGIN: Final = "KeeperPrivilegeManager"

#: The systems of `osFilter`, and the accounts of `ExecutionType`, in the vendor's spelling.
OsName = Literal["windows", "linux", "macOS"]
ExecutionType = Literal["Service", "User", "UserDesktop", "UserElevated"]

EXECUTION_TYPES: Final[tuple[ExecutionType, ...]] = get_args(ExecutionType)


def execution_type_of(task: dict[str, Any]) -> object:
    """Return the task's execution type; both spellings of the key count, `Service` is the default.

    The answer is whatever the document holds, which may be no execution type.
    """
    found = task.get("ExecutionType", task.get("executionType"))
    return "Service" if found is None else found


#: The keys of `osFilter`.
OS_NAMES: Final[tuple[OsName, ...]] = get_args(OsName)

_OTHER_PLATFORMS: Final[dict[str, OsName]] = {"win32": "windows", "darwin": "macOS"}


def os_name(platform: str = sys.platform) -> OsName:
    """Return the key of `osFilter` that stands for *platform*, as `sys.platform` has it."""
    return _OTHER_PLATFORMS.get(platform, "linux")


def allowed_systems(doc: Mapping[str, Any]) -> frozenset[OsName]:
    """Return the systems on which the job runs; a key that is absent excludes nothing."""
    rule = doc.get("osFilter")
    if not isinstance(rule, dict):
        return frozenset(OS_NAMES)
    return frozenset(name for name in OS_NAMES if rule.get(name, True) is not False)
