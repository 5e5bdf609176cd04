"""A TLS context, built by hand so that nothing in the environment can change it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from epm_task.errors import UnsafeConfiguration
from epm_task.runtime.trusted_file import check_trusted

if TYPE_CHECKING:
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
