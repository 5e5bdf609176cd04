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


def agent_address(base_url: str) -> tuple[str, int]:
    """Return the IP address and the port of the agent's API.

    Raises:
        UnsafeAgent: The URL is not exactly `https://` with a loopback host and a port.
    """
    try:
        url = urlsplit(base_url)
        port = url.port or 443
    except ValueError as error:
        raise _refusal(base_url, str(error)) from None
    if url.scheme != "https":
        raise _refusal(base_url, "it is not https")
    if "@" in url.netloc:
        raise _refusal(base_url, "it holds user information")
    if url.path not in {"", "/"} or url.query or url.fragment:
        raise _refusal(base_url, "it holds more than scheme, host and port")
    ip = loopback_ip(url.hostname or "")
    if ip is None:
        raise _refusal(base_url, "its host is not a loopback address")
    return ip, port


def _refusal(base_url: str, why: str) -> UnsafeAgent:
    return UnsafeAgent(
        f"--keeper-api-base {base_url[:80]!r} was not used: {why}; "
        "pass --keeper-api-base={KeeperApiBaseUrl} in the job's arguments"
    )
