"""A raw client writes MQTT packets byte by byte, so that it can also write wrong ones."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from peers.patience import PATIENCE

from epm_task.simulator.broker.packet import encode_length

if TYPE_CHECKING:
    from types import TracebackType

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)


class Packet(NamedTuple):
    """A packet as it came."""

    kind: int
    flags: int
    body: bytes


def text(value: str | bytes) -> bytes:
    """Return a text with its length."""
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def packet(first: int, *parts: bytes) -> bytes:
    """Return a packet."""
    body = b"".join(parts)
    return bytes((first,)) + encode_length(len(body)) + body


def connect(  # noqa: PLR0913
    client_id: str,
    *,
    version: int = 4,
    clean: bool = True,
    keep_alive: int = 0,
    properties: bytes = b"",
    flags: int = 0,
    tail: bytes = b"",
) -> bytes:
    """Return a CONNECT; *tail* stands behind the client id."""
    head = text("MQTT") + bytes((version, flags | (2 if clean else 0)))
    head += keep_alive.to_bytes(2, "big")
    if version == 5:
        head += encode_length(len(properties)) + properties
    return packet(0x10, head, text(client_id), tail)


def publish(  # noqa: PLR0913
    topic: str | bytes,
    payload: bytes = b"",
    *,
    qos: int = 0,
    packet_id: int = 1,
    retain: bool = False,
    dup: bool = False,
    version: int = 4,
    properties: bytes = b"",
) -> bytes:
    """Return a PUBLISH."""
    body = text(topic) + (packet_id.to_bytes(2, "big") if qos else b"")
    if version == 5:
        body += encode_length(len(properties)) + properties
    return packet(0x30 | dup << 3 | qos << 1 | retain, body, payload)


def subscribe(
    *filters: tuple[str, int], packet_id: int = 1, version: int = 4, properties: bytes = b""
) -> bytes:
    """Return a SUBSCRIBE of filters with their option bytes."""
    head = packet_id.to_bytes(2, "big")
    if version == 5:
        head += encode_length(len(properties)) + properties
    return packet(0x82, head, *(text(name) + bytes((options,)) for name, options in filters))


def reply(kind: int, packet_id: int, *rest: int) -> bytes:
    """Return an acknowledgement."""
    first = kind << 4 | (2 if kind == PUBREL else 0)
    return packet(first, packet_id.to_bytes(2, "big"), bytes(rest))


class RawClient:
    """A socket to the broker; closes with its block."""

    def __init__(self, port: int, seconds: float = PATIENCE) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    @classmethod
    def connected(cls, port: int, client_id: str, **options: Any) -> Self:
        """Return a client that the broker has accepted."""
        client = cls(port)
        client.send(connect(client_id, **options))
        answer = client.read()
        assert answer.kind == CONNACK, answer
        assert answer.body[1] == 0, answer
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
        first, length, shift = self._take(1)[0], 0, 0
        while True:
            byte = self._take(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return Packet(first >> 4, first & 15, self._take(length))

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
        return self.ask(packet(0xC0)).kind == PINGRESP

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self.socket.recv(65_536)
            if not data:
                raise EOFError
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken
