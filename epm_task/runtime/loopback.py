"""A loopback address is the only place where an agent can be."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from epm_task.errors import UnsafeAgent


def loopback_ip(host: str) -> str | None:
    """Return *host* as an IP address of this machine's loopback, or None.

    `localhost` becomes 127.0.0.1 and is never resolved: on [::1] another user may listen. Short and
    mapped spellings such as `127.1` or `::ffff:127.0.0.1` are refused.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped
    return str(address) if address.is_loopback and not mapped else None


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
            f"--keeper-api-base {base_url[:80]!r} was not used: {error}; "
            "pass --keeper-api-base={KeeperApiBaseUrl} in the job's arguments"
        ) from None
