"""An MQTT client that sends packets of its own making, also those that a library would not send."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, Self

from peers.mqtt_packet import Kind, Packet, connect, packet, split
from peers.patience import PATIENCE

if TYPE_CHECKING:
    from types import TracebackType


class RawClient:
    """A socket to a broker; closes with its block.

    Args:
        port: On 127.0.0.1.
        context: TLS; None is plain.
        seconds: For each answer.
    """

    def __init__(
        self, port: int, *, context: ssl.SSLContext | None = None, seconds: float = PATIENCE
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            plain = self.socket
            try:
                self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
            except BaseException:
                plain.close()
                raise
        self._data = bytearray()

    @classmethod
    def connected(cls, port: int, client_id: str, **options: Any) -> Self:
        """Return a client that the broker has accepted; *options* go to `connect`."""
        client = cls(port)
        answer = client.ask(connect(client_id, **options))
        assert (answer.kind, answer.body[1]) == (Kind.CONNACK, 0), answer
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, *packets: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(b"".join(packets))

    def read(self) -> Packet:
        """Return the next packet.

        Raises:
            EOFError: The broker has closed the connection.
        """
        while not (found := split(self._data)):
            data = self.socket.recv(65_536)
            if not data:
                raise EOFError
            self._data += data
        return found

    def ask(self, *packets: bytes) -> Packet:
        """Send packets; return the next packet that comes."""
        self.send(*packets)
        return self.read()

    def closed(self) -> bool:
        """Return whether the broker closes the connection without another packet."""
        try:
            self.read()
        except (EOFError, ConnectionError):
            return True
        return False

    def silent(self) -> bool:
        """Return whether the next answer is that to a ping: nothing else was under way."""
        return self.ask(packet(Kind.PINGREQ << 4)).kind == Kind.PINGRESP


def tls_context() -> ssl.SSLContext:
    """Return a client's context that accepts every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
