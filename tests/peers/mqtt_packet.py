"""Write and read MQTT packets, of 3.1.1 (version 4) and of 5, without the code under test.

Sources: OASIS MQTT Version 3.1.1 and Version 5.0, chapters 2 and 3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

V3, V5 = 4, 5


class Kind(IntEnum):
    """The kinds of packets."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Packet(NamedTuple):
    """One packet as it came."""

    kind: int
    flags: int
    body: bytes

    @property
    def size(self) -> int:
        """Its length in bytes, with its header."""
        return len(packet(0, self.body))


@dataclass(frozen=True)
class Connect:
    """What a client said when it connected."""

    client_id: str
    version: int
    keep_alive_seconds: int
    clean_start: bool


@dataclass(frozen=True)
class Publish:
    """One message as it came; `connection` counts the accepted CONNECTs from 1."""

    topic: str
    payload: bytes
    qos: int
    packet_id: int
    duplicate: bool
    retain: bool
    connection: int


def encode_length(length: int) -> bytes:
    """Return a length, seven bits in each byte, the lowest first."""
    encoded = bytearray()
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((*encoded, length))


def packet(first: int, *fields: bytes) -> bytes:
    """Return a packet with this first byte."""
    body = b"".join(fields)
    return bytes((first,)) + encode_length(len(body)) + body


def text(value: str | bytes) -> bytes:
    """Return a text with its length."""
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def connect(  # noqa: PLR0913
    client_id: str,
    *,
    version: int = V3,
    clean: bool = True,
    keep_alive: int = 0,
    properties: bytes = b"",
    flags: int = 0,
    tail: bytes = b"",
) -> bytes:
    """Return a CONNECT; *tail* comes behind the client id."""
    head = text("MQTT") + struct.pack(">BBH", version, flags | (2 if clean else 0), keep_alive)
    return packet(0x10, head, _properties(version, properties), text(client_id), tail)


def publish(  # noqa: PLR0913
    topic: str | bytes,
    payload: bytes = b"",
    *,
    qos: int = 0,
    packet_id: int = 1,
    retain: bool = False,
    dup: bool = False,
    version: int = V3,
    properties: bytes = b"",
) -> bytes:
    """Return a PUBLISH."""
    head = text(topic) + (packet_id.to_bytes(2, "big") if qos else b"")
    first = 0x30 | dup << 3 | qos << 1 | retain
    return packet(first, head, _properties(version, properties), payload)


def subscribe(
    *filters: tuple[str, int], packet_id: int = 1, version: int = V3, properties: bytes = b""
) -> bytes:
    """Return a SUBSCRIBE of filters with their option bytes."""
    head = packet_id.to_bytes(2, "big") + _properties(version, properties)
    return packet(0x82, head, *(text(name) + bytes((options,)) for name, options in filters))


def reply(kind: int, packet_id: int, *rest: int) -> bytes:
    """Return an acknowledgement; *rest* is a reason, and the length of no properties."""
    first = kind << 4 | (2 if kind == Kind.PUBREL else 0)
    return packet(first, packet_id.to_bytes(2, "big"), bytes(rest))


def connack(  # noqa: PLR0913  # what MQTT 5 lets a broker say
    version: int,
    reason: int = 0,
    *,
    receive_maximum: int | None = None,
    maximum_packet_size: int | None = None,
    maximum_qos: int | None = None,
    server_keep_alive: int | None = None,
) -> bytes:
    """Return a CONNACK; *reason* is a code of that version, and limits exist in 5 only."""
    properties = b""
    if receive_maximum is not None:
        properties += struct.pack(">BH", 0x21, receive_maximum)
    if maximum_packet_size is not None:
        properties += struct.pack(">BI", 0x27, maximum_packet_size)
    if maximum_qos is not None:
        properties += struct.pack(">BB", 0x24, maximum_qos)
    if server_keep_alive is not None:
        properties += struct.pack(">BH", 0x13, server_keep_alive)
    return packet(Kind.CONNACK << 4, bytes((0, reason)), _properties(version, properties))


def disconnect(reason: int) -> bytes:
    """Return the DISCONNECT with which a broker of MQTT 5 closes."""
    return packet(Kind.DISCONNECT << 4, bytes((reason, 0)))


def split(data: bytearray) -> Packet | None:
    """Take the first whole packet out of *data*; None while it is incomplete."""
    length = shift = 0
    for index in range(1, min(len(data), 5)):
        length |= (data[index] & 0x7F) << shift
        shift += 7
        if data[index] < 0x80:
            end = index + 1 + length
            if len(data) < end:
                return None
            found = Packet(data[0] >> 4, data[0] & 0x0F, bytes(data[index + 1 : end]))
            del data[:end]
            return found
    return None


def parse_connect(body: bytes) -> Connect:
    """Return the fields of a CONNECT; a will, a user name and a password are passed over."""
    _, at = _text(body, 0)
    version, flags, keep_alive = struct.unpack_from(">BBH", body, at)
    at += 4
    if version == V5:
        at = _after_properties(body, at)
    client_id, _ = _text(body, at)
    return Connect(client_id, version, keep_alive, bool(flags & 0x02))


def parse_publish(found: Packet, version: int, connection: int) -> Publish:
    """Return the fields of a PUBLISH; its properties are passed over."""
    qos = found.flags >> 1 & 3
    topic, at = _text(found.body, 0)
    packet_id = 0
    if qos:
        (packet_id,) = struct.unpack_from(">H", found.body, at)
        at += 2
    if version == V5:
        at = _after_properties(found.body, at)
    duplicate, retain = bool(found.flags & 8), bool(found.flags & 1)
    return Publish(topic, found.body[at:], qos, packet_id, duplicate, retain, connection)


def _properties(version: int, encoded: bytes) -> bytes:
    return encode_length(len(encoded)) + encoded if version == V5 else b""


def _text(body: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">H", body, at)
    end = at + 2 + length
    return body[at + 2 : end].decode("utf-8"), end


def _after_properties(body: bytes, at: int) -> int:
    length = shift = 0
    while True:
        value = body[at]
        at += 1
        length |= (value & 0x7F) << shift
        shift += 7
        if value < 0x80:
            return at + length
