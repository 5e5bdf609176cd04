"""Read the addresses of the agent's API and broker; both must be on this machine."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from epm_task.contract.names import (
    API_BASE_ARGUMENT,
    API_BASE_OPTION,
    BROKER_HOST,
    BROKER_PORT,
    SYSTEM_PLUGIN,
)
from epm_task.errors import SettingsError, UnsafeAgent, UnsafeBroker

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAST_PORT: Final = 65_535


def loopback_ip(host: str) -> str | None:
    """Return *host* as an IP address of this machine's loopback, or None.

    `localhost` becomes 127.0.0.1 and is never resolved: on [::1] another user may listen. Short and
    mapped spellings such as `127.1` or `::ffff:127.0.0.1`, and zones as in `::1%lo`, are refused.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    odd = isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.scope_id)
    return str(address) if address.is_loopback and not odd else None


def origin(address: tuple[str, int]) -> str:
    """Return `https://HOST:PORT`, an IPv6 address in brackets."""
    host, port = address
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def base_url_address(base_url: str) -> tuple[str, int]:
    """Return the IP address and the port of the API at *base_url*.

    Raises:
        ValueError: The URL is not exactly `https://` with a loopback host and a port; the message
            is the reason.
    """
    url = urlsplit(base_url)
    port = url.port or 443
    if url.scheme != "https":
        raise ValueError("it is not https")
    if "@" in url.netloc:
        raise ValueError("it holds user information")
    if url.path not in {"", "/"} or url.query or url.fragment:
        raise ValueError("it holds more than scheme, host and port")
    ip = loopback_ip(url.hostname or "")
    if ip is None:
        raise ValueError("its host is not a loopback address")
    return ip, port


def agent_address(base_url: str) -> tuple[str, int]:
    """Return the IP address and the port of the agent's API, as the job's arguments name it.

    Raises:
        UnsafeAgent: The URL is not exactly `https://` with a loopback host and a port.
    """
    try:
        return base_url_address(base_url)
    except ValueError as error:
        raise UnsafeAgent(
            f"{API_BASE_OPTION} {base_url[:80]!r} was not used",
            str(error),
            f"pass {API_BASE_ARGUMENT} in the job's arguments",
        ) from None


def broker_address(settings: Mapping[str, str]) -> tuple[str, int]:
    """Return the IP address and the port of the agent's broker.

    Raises:
        SettingsError: `broker.host` or `broker.port` is missing, or not a port.
        UnsafeBroker: The host is not a loopback address.
    """
    for key in (BROKER_HOST, BROKER_PORT):
        if not settings.get(key):
            raise SettingsError(SYSTEM_PLUGIN, key, "is missing")
    text = settings[BROKER_PORT].strip()
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= _LAST_PORT:
        raise SettingsError(SYSTEM_PLUGIN, BROKER_PORT, "is not a port from 1 to 65535")
    host = loopback_ip(settings[BROKER_HOST].strip())
    if host is None:
        raise UnsafeBroker(
            "nothing was sent to the broker",
            "setting broker.host is not a loopback address",
            "correct it in the policy",
        )
    return host, int(text)
