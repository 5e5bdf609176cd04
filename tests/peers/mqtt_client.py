"""An MQTT client sends packets of its own making, also those that a library would not send."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from typing import TYPE_CHECKING

from peers.mqtt_packet import V3, V5, Packet, split
from peers.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

EMPTY_PROPERTIES = {V3: b"", V5: b"\0"}


class RawClient:
    """Sends packets byte by byte of its own making."""

    def __init__(self, sock: socket.socket, version: int) -> None:
        """Take a connected socket."""
        self.sock = sock
        self.version = version
        self._data = bytearray()

    def send(self, first: int, body: bytes) -> None:
        """Send a packet with this first byte."""
        size, length = len(body), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        self.sock.sendall(bytes([first, *length, size]) + body)

    def connect(self, client_id: str = "job_1", *, seconds: float = PATIENCE) -> Packet | None:
        """Send CONNECT; returns the answer."""
        head = b"\0\4MQTT" + struct.pack(">BBH", self.version, 2, 15)
        name = client_id.encode()
        body = head + EMPTY_PROPERTIES[self.version] + struct.pack(">H", len(name)) + name
        self.send(0x10, body)
        return self.read(seconds)

    def publish(
        self, packet_id: int, payload: bytes = b"{}", topic: bytes = b"t", qos: int = 1
    ) -> None:
        """Send PUBLISH."""
        number = struct.pack(">H", packet_id) if qos else b""
        head = struct.pack(">H", len(topic)) + topic + number + EMPTY_PROPERTIES[self.version]
        self.send(0x30 | qos << 1, head + payload)

    def read(self, seconds: float = PATIENCE) -> Packet | None:
        """Return the next packet, None at the end of the connection."""
        self.sock.settimeout(seconds)
        while not (packet := split(self._data)):
            try:
                data = self.sock.recv(65_536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._data += data
        return packet


def tls_context() -> ssl.SSLContext:
    """Return a client's context that accepts every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def connected(port: int, version: int = V5) -> Iterator[RawClient]:
    """Connect to a port of 127.0.0.1 with TLS; CONNECT is left to the test."""
    with (
        socket.create_connection(("127.0.0.1", port), 5) as tcp,
        tls_context().wrap_socket(tcp) as sock,
    ):
        yield RawClient(sock, version)
