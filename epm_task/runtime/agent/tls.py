"""Open TLS connections to the agent, HTTPS and MQTT, and let nobody else answer."""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from epm_task.errors import UnsafeConfiguration
from epm_task.runtime.attestation import attestation

if TYPE_CHECKING:
    from pathlib import Path

#: The kernel answers a connect on loopback at once, unless the listener's queue is full.
CONNECT_SECONDS: Final = 2.0
#: For an agent that many tasks ask at once: as long as the default `--registration-timeout`.
HANDSHAKE_SECONDS: Final = 15.0


def client_context(ca_file: Path | None, *, option: str = "--ca-file") -> ssl.SSLContext:
    """Return the context for both connections to the agent, HTTPS and MQTT.

    `ssl.create_default_context` would obey SSL_CERT_FILE and SSLKEYLOGFILE; this obeys neither.
    With a CA file the chain is verified. A file that holds just one certificate, not of a CA, is
    the agent's own: it is trusted as it is, and its names are not compared, because the vendor does
    not promise that it names 127.0.0.1. Without a file nothing is verified: see `attested`.

    Raises:
        UnsafeConfiguration: The file is unreadable, no certificate, or writable by other users.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    from epm_task.trust import open_file, path_of  # noqa: PLC0415  # few runs have a CA file

    try:
        with open_file(ca_file) as file:
            context.load_verify_locations(path_of(file, ca_file))
    except (OSError, ssl.SSLError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise UnsafeConfiguration(
            f"{option} {ca_file} cannot be used",
            str(reason),
            "give a PEM file that holds the certificate of the CA",
        ) from None
    found = context.cert_store_stats()
    if found["x509"] == 1 and found["x509_ca"] == 0:
        context.check_hostname = False
    return context


def attested(context: ssl.SSLContext) -> bool:
    """Tell whether the peer must be known by the owner of its socket, as no name proves it."""
    return not context.check_hostname


class Dialer:
    """Connects to one port of the agent.

    Where no name proves who answers, the owner of the listener is checked before the connect, and
    the owner of the accepted socket after the handshake, before anything is sent. The TCP connect
    has 2 s. A handshake under way has all the time that is left: an agent that is busy serves its
    callers in order, and who hangs up and connects again waits at the end.
    """

    def __init__(
        self,
        address: tuple[str, int],
        context: ssl.SSLContext,
        *,
        seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        self.address: Final = address
        self.check_hostname: Final = context.check_hostname  # paho-mqtt asks for it
        self._context = context
        self._seconds = seconds

    def check_listener(self) -> None:
        """Refuse a listener that may not be the agent.

        Raises:
            Untrusted: Another user's process would accept the connection.
        """
        if attested(self._context):
            attestation.check_listener(*self.address)

    def connect(self, deadline: float) -> ssl.SSLSocket:
        """Return a connection, made before *deadline* (`time.monotonic()`).

        Raises:
            Untrusted: Another user's process holds the port.
            OSError: No connection, or no TLS; `TimeoutError` when time ran out.
        """
        self.check_listener()
        # CPython counts a socket's time-out over the whole of a connect, and of a handshake.
        limit = min(deadline, time.monotonic() + CONNECT_SECONDS)
        opened = socket.create_connection(self.address, timeout=seconds_left(limit))
        return self._secure(opened, deadline)

    def wrap_socket(self, sock: socket.socket, **_how: Any) -> ssl.SSLSocket:
        """Do the rest for a socket that paho-mqtt has connected; it takes this for a TLS context.

        The handshake has the *seconds* of this dialer.

        Raises:
            Untrusted: Another user's process holds the port.
            OSError: No TLS; the socket is closed then.
        """
        return self._secure(sock, time.monotonic() + self._seconds)

    def _secure(self, opened: socket.socket, deadline: float) -> ssl.SSLSocket:
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened = secured = self._context.wrap_socket(
                opened, server_hostname=self.address[0], do_handshake_on_connect=False
            )
            secured.settimeout(seconds_left(deadline))
            secured.do_handshake()
            if attested(self._context):
                attestation.check_peer(secured)
        except BaseException:
            opened.close()
            raise
        return secured


def seconds_left(deadline: float) -> float:
    """Return the seconds until *deadline*.

    Raises:
        TimeoutError: None are left.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no complete answer in time")
    return left


def readable(opened: Any, seconds: float) -> bool:
    """Wait for at most *seconds*; tell whether a read of paho-mqtt's socket would not wait.

    None is a socket that paho-mqtt has closed: its next read says so.
    """
    if opened is None or opened.pending():
        return True
    if hasattr(select, "poll"):  # select() refuses descriptors above 1023
        poll = select.poll()
        poll.register(opened, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    return bool(select.select([opened], [], [], seconds)[0])
