"""Write and read the MQTT packets of a publisher at QoS 1, once it is connected.

paho-mqtt makes the connection. Past the CONNACK its client rescans its whole queue at every
acknowledgement (`benchmarks/throughput.py`); these few bytes are what is left to do without it.
"""

from __future__ import annotations

from typing import Final

PING_REQUEST: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"
#: Reason code of MQTT 5 for an operation that the broker does not permit.
NOT_AUTHORIZED: Final = 0x87
#: Reason codes from here on are failures.
FIRST_FAILURE: Final = 0x80

_PUBLISH_QOS_1: Final = b"\x32"
_PUBACK: Final = 4
_DISCONNECT: Final = 14
_CONTINUES: Final = 0x80


class MalformedPacket(Exception):
    """Bytes that are not an MQTT packet."""


class Received:
    """What some bytes from the broker said."""

    def __init__(self) -> None:
        #: Packet ids that were acknowledged.
        self.settled: list[int] = []
        #: Packet ids with the reason code of a failure.
        self.refused: list[tuple[int, int]] = []
        self.disconnect_reason: int | None = None


def publish_packet(topic: bytes, packet_id: int, payload: bytes, *, mqtt5: bool) -> bytes:
    """Return a PUBLISH at QoS 1, not retained; MQTT 5 has one more byte, for no properties."""
    variable = b"".join((len(topic).to_bytes(2, "big"), topic, packet_id.to_bytes(2, "big")))
    if mqtt5:
        variable += b"\0"
    return b"".join((_PUBLISH_QOS_1, _length(len(variable) + len(payload)), variable, payload))


def read_packets(buffer: bytearray) -> Received:
    """Take every whole packet out of *buffer* and return what they said.

    Raises:
        MalformedPacket: A length has more than four bytes, or an acknowledgement no packet id.
    """
    received = Received()
    position = 0
    while (whole := _packet_at(buffer, position)) is not None:
        start, end = whole
        kind = buffer[position] >> 4
        if kind == _PUBACK:
            _read_puback(buffer, start, end, received)
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


def _length(length: int) -> bytes:
    encoded = bytearray()
    while length > 127:
        encoded.append(length & 127 | _CONTINUES)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)
