"""An MQTT packet is a kind, four flags, and a body, for 3.1.1 (version 4) and for 5.

Sources: OASIS MQTT Version 3.1.1 and Version 5.0, chapters 2 and 3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

V3, V5 = 4, 5


class Kind(IntEnum):
    """The packet kinds that a publishing client exchanges with a broker."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Packet(NamedTuple):
    """One packet as it came; `size` counts its header too."""

    kind: int
    flags: int
    body: bytes
    size: int


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
            packet = Packet(data[0] >> 4, data[0] & 0x0F, bytes(data[index + 1 : end]), end)
            del data[:end]
            return packet
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


def parse_publish(packet: Packet, version: int, connection: int) -> Publish:
    """Return the fields of a PUBLISH; its properties are passed over."""
    qos = packet.flags >> 1 & 3
    topic, at = _text(packet.body, 0)
    packet_id = 0
    if qos:
        (packet_id,) = struct.unpack_from(">H", packet.body, at)
        at += 2
    if version == V5:
        at = _after_properties(packet.body, at)
    duplicate, retain = bool(packet.flags & 8), bool(packet.flags & 1)
    return Publish(topic, packet.body[at:], qos, packet_id, duplicate, retain, connection)


def connack(
    version: int,
    reason: int = 0,
    *,
    receive_maximum: int | None = None,
    maximum_packet_size: int | None = None,
) -> bytes:
    """Return a CONNACK; *reason* is a code of that version, and limits exist in 5 only."""
    if version != V5:
        return _packet(Kind.CONNACK, bytes([0, reason]))
    properties = b""
    if receive_maximum is not None:
        properties += struct.pack(">BH", 0x21, receive_maximum)
    if maximum_packet_size is not None:
        properties += struct.pack(">BI", 0x27, maximum_packet_size)
    return _packet(Kind.CONNACK, bytes([0, reason, len(properties)]) + properties)


def puback(version: int, packet_id: int, reason: int = 0) -> bytes:
    """Return a PUBACK; 3.1.1 cannot carry a reason."""
    body = struct.pack(">H", packet_id)
    if version == V5 and reason:
        body += bytes([reason, 0])
    return _packet(Kind.PUBACK, body)


def suback(version: int, body: bytes) -> bytes:
    """Return the SUBACK that grants QoS 1 to the one filter of a SUBSCRIBE with this body."""
    return _packet(Kind.SUBACK, body[:2] + (b"\0" if version == V5 else b"") + b"\x01")


def pingresp() -> bytes:
    """Return a PINGRESP."""
    return _packet(Kind.PINGRESP, b"")


def disconnect(reason: int) -> bytes:
    """Return the DISCONNECT with which a broker of MQTT 5 closes."""
    return _packet(Kind.DISCONNECT, bytes([reason, 0]))


def _packet(kind: Kind, body: bytes) -> bytes:
    assert len(body) < 128, "what a broker answers here fits in one length byte"
    return bytes([kind << 4, len(body)]) + body


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
