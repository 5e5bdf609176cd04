"""Write and read the MQTT packets of a client at QoS 1, once it is connected.

paho-mqtt makes the connection. Past the CONNACK its client rescans its whole queue at every
acknowledgement (`benchmarks/throughput.py`); these few bytes are what is left to do without it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PING_REQUEST: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"
#: Reason code of MQTT 5 for an operation that the broker does not permit.
NOT_AUTHORIZED: Final = 0x87
#: Reason codes from here on are failures.
FIRST_FAILURE: Final = 0x80

_PUBLISH_QOS_1: Final = b"\x32"
_SUBSCRIBE: Final = b"\x82"
_PUBLISH: Final = 3
_PUBACK: Final = 4
_SUBACK: Final = 9
#: QoS 1; in MQTT 5 also retain handling 2: nothing that was retained.
_QOS_1: Final = 1
_NOTHING_RETAINED: Final = 0x20
#: A packet that is larger cannot be meant: the limit that a broker of MQTT 5 is told.
MOST_PACKET_BYTES: Final = 2 * 1024 * 1024
_DISCONNECT: Final = 14
_CONTINUES: Final = 0x80


class MalformedPacket(Exception):
    """Bytes that are not an MQTT packet."""


class Arrival(NamedTuple):
    """A message from the broker; without a packet id it needs no acknowledgement."""

    topic: str
    payload: bytes
    packet_id: int | None
    retained: bool


class Received:
    """What some bytes from the broker said."""

    def __init__(self) -> None:
        #: Packet ids that were acknowledged.
        self.settled: list[int] = []
        #: Packet ids with the reason code of a failure.
        self.refused: list[tuple[int, int]] = []
        #: Messages, and answers to subscriptions: packet ids with reason codes.
        self.arrived: list[Arrival] = []
        self.granted: list[tuple[int, bytes]] = []
        self.disconnect_reason: int | None = None


def publish_packet(topic: bytes, packet_id: int, payload: bytes, *, mqtt5: bool) -> bytes:
    """Return a PUBLISH at QoS 1, not retained; MQTT 5 has one more byte, for no properties."""
    variable = b"".join((len(topic).to_bytes(2, "big"), topic, packet_id.to_bytes(2, "big")))
    if mqtt5:
        variable += b"\0"
    return b"".join((_PUBLISH_QOS_1, _length(len(variable) + len(payload)), variable, payload))


def subscribe_packet(topic: bytes, packet_id: int, *, mqtt5: bool) -> bytes:
    """Return a SUBSCRIBE to one topic at QoS 1."""
    how = _QOS_1 | _NOTHING_RETAINED if mqtt5 else _QOS_1
    head = packet_id.to_bytes(2, "big") + (b"\0" if mqtt5 else b"")
    body = b"".join((head, len(topic).to_bytes(2, "big"), topic, bytes([how])))
    return b"".join((_SUBSCRIBE, _length(len(body)), body))


def puback_packet(packet_id: int) -> bytes:
    """Return a PUBACK without a reason, which means success in both versions."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def read_packets(buffer: bytearray, *, mqtt5: bool = True) -> Received:
    """Take every whole packet out of *buffer* and return what they said.

    Raises:
        MalformedPacket: A length has more than four bytes or is not to be had, an acknowledgement
            has no packet id, or a message has no topic.
    """
    received = Received()
    position = 0
    while (whole := _packet_at(buffer, position)) is not None:
        start, end = whole
        kind = buffer[position] >> 4
        if kind == _PUBACK:
            _read_puback(buffer, start, end, received)
        elif kind == _PUBLISH:
            received.arrived.append(_read_publish(buffer, position, start, end, mqtt5=mqtt5))
        elif kind == _SUBACK:
            received.granted.append(_read_suback(buffer, start, end, mqtt5=mqtt5))
        elif kind == _DISCONNECT:
            received.disconnect_reason = buffer[start] if end > start else 0
        position = end
    del buffer[:position]
    return received


def _packet_at(buffer: bytearray, position: int) -> tuple[int, int] | None:
    length = shift = 0
    for index in range(position + 1, min(position + 5, len(buffer))):
        byte = buffer[index]
        length |= (byte & 127) << shift
        shift += 7
        if not byte & _CONTINUES:
            end = index + 1 + length
            if length > MOST_PACKET_BYTES:
                raise MalformedPacket(f"a packet has {length} bytes")
            return (index + 1, end) if end <= len(buffer) else None
    if len(buffer) - position > 4:  # the fixed header and four bytes of length
        raise MalformedPacket("a packet's length has more than four bytes")
    return None


def _read_puback(buffer: bytearray, start: int, end: int, received: Received) -> None:
    if end - start < 2:
        raise MalformedPacket("an acknowledgement without a packet id")
    packet_id = buffer[start] << 8 | buffer[start + 1]
    reason = buffer[start + 2] if end - start > 2 else 0
    if reason < FIRST_FAILURE:
        received.settled.append(packet_id)
    else:
        received.refused.append((packet_id, reason))


def _read_publish(
    buffer: bytearray, position: int, start: int, end: int, *, mqtt5: bool
) -> Arrival:
    quality = buffer[position] >> 1 & 3
    at = start + 2 + int.from_bytes(buffer[start : start + 2], "big")
    topic = bytes(buffer[start + 2 : at]).decode("utf-8", "replace")
    packet_id = int.from_bytes(buffer[at : at + 2], "big") if quality else None
    at += 2 if quality else 0
    if mqtt5:
        at = _after_properties(buffer, at, end)
    if at > end or quality > _QOS_1 or not topic:
        raise MalformedPacket("a message that was not asked for in this form")
    return Arrival(topic, bytes(buffer[at:end]), packet_id, bool(buffer[position] & 1))


def _read_suback(buffer: bytearray, start: int, end: int, *, mqtt5: bool) -> tuple[int, bytes]:
    at = _after_properties(buffer, start + 2, end) if mqtt5 else start + 2
    if at >= end:
        raise MalformedPacket("an answer to a subscription without a reason")
    return int.from_bytes(buffer[start : start + 2], "big"), bytes(buffer[at:end])


def _after_properties(buffer: bytearray, at: int, end: int) -> int:
    length = shift = 0
    for index in range(at, min(at + 4, end)):
        length |= (buffer[index] & 127) << shift
        shift += 7
        if not buffer[index] & _CONTINUES:
            return index + 1 + length
    raise MalformedPacket("properties without an end")


def _length(length: int) -> bytes:
    encoded = bytearray()
    while length > 127:
        encoded.append(length & 127 | _CONTINUES)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)
