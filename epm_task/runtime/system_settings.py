"""System settings are what the agent says about itself, above all where its broker is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from epm_task.errors import SettingsError, UnsafeBroker
from epm_task.runtime.loopback import loopback_ip

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
