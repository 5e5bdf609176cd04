"""A TLS context, built by hand so that nothing in the environment can change it."""

from __future__ import annotations

import ipaddress
import re
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from epm_task.contract.names import (
    API_BASE_ARGUMENT,
    API_BASE_OPTION,
    BROKER_HOST,
    BROKER_PORT,
    SYSTEM_PLUGIN,
)
from epm_task.errors import SettingsError, UnsafeAgent, UnsafeBroker, UnsafeConfiguration
from epm_task.files import check_trusted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def client_context(ca_file: Path | None, *, option: str = "--ca-file") -> ssl.SSLContext:
    """Return the context for both connections to the agent, HTTPS and MQTT.

    `ssl.create_default_context` would obey SSL_CERT_FILE and SSLKEYLOGFILE; this obeys neither.
    With a CA file the chain is verified. A file that holds just one certificate, which is no CA, is
    the agent's own: it is trusted as it is, and its names are not compared, because the vendor does
    not promise that it names 127.0.0.1. Without a file nothing is verified: see `attested`.

    Args:
        ca_file: PEM file of the CA, or None.
        option: What people call it.

    Raises:
        UnsafeConfiguration: The file is unreadable, no certificate, or writable by other users.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        check_trusted(ca_file)
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise UnsafeConfiguration(
            f"{option} {ca_file} cannot be used ({reason}); give a PEM file that holds the "
            "certificate of the CA"
        ) from None
    found = context.cert_store_stats()
    if found["x509"] == 1 and found["x509_ca"] == 0:
        context.check_hostname = False
    return context


def attested(context: ssl.SSLContext) -> bool:
    """Tell whether the peer must be known by the owner of its socket, as no name proves it."""
    return not context.check_hostname


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
            f"{API_BASE_OPTION} {base_url[:80]!r} was not used: {error}; "
            f"pass {API_BASE_ARGUMENT} in the job's arguments"
        ) from None


_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_LAST_PORT: Final = 65_535


def broker_address(settings: Mapping[str, str]) -> tuple[str, int]:
    """Return the IP address and the port of the agent's broker.

    Raises:
        SettingsError: `broker.host` or `broker.port` is missing, or the port is no port.
        UnsafeBroker: The host is not a loopback address.
    """
    for key in (BROKER_HOST, BROKER_PORT):
        if not settings.get(key):
            raise SettingsError(SYSTEM_PLUGIN, key, "is missing")
    text = settings[BROKER_PORT].strip()
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= _LAST_PORT:
        raise SettingsError(SYSTEM_PLUGIN, BROKER_PORT, "is no port from 1 to 65535")
    host = loopback_ip(settings[BROKER_HOST].strip())
    if host is None:
        raise UnsafeBroker(
            "setting broker.host is not a loopback address, so nothing was sent to it; "
            "correct it in the policy"
        )
    return host, int(text)
