"""System settings are what the agent says about itself, above all where its broker is."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final, get_args

from epm_task.errors import SettingsError, UnsafeBroker
from epm_task.runtime.declaration import ExecutionType, OsName
from epm_task.runtime.tls import loopback_ip

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The plugin name under which the agent gives its merged, system-wide settings.
SYSTEM_PLUGIN: Final = "KeeperPrivilegeManager"
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_LAST_PORT: Final = 65_535


def broker_address(settings: Mapping[str, str]) -> tuple[str, int]:
    """Return the IP address and the port of the agent's broker.

    Raises:
        SettingsError: `broker.host` or `broker.port` is missing, or the port is no port.
        UnsafeBroker: The host is not a loopback address.
    """
    for key in ("broker.host", "broker.port"):
        if not settings.get(key):
            raise SettingsError(SYSTEM_PLUGIN, key, "is missing")
    text = settings["broker.port"].strip()
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= _LAST_PORT:
        raise SettingsError(SYSTEM_PLUGIN, "broker.port", "is no port from 1 to 65535")
    host = loopback_ip(settings["broker.host"].strip())
    if host is None:
        raise UnsafeBroker(
            "setting broker.host is not a loopback address, so nothing was sent to it; "
            "correct it in the policy"
        )
    return host, int(text)


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
