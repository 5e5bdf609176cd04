"""A packet is one unit of MQTT on the wire: a type, a length, a body."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker.properties import read_properties
from epm_task.simulator.broker.reason import (
    MALFORMED_PACKET,
    PACKET_TOO_LARGE,
    SUCCESS,
    PacketError,
)

if TYPE_CHECKING:
    from paho.mqtt.properties import Properties

#: The protocol level of MQTT 3.1.1, from its section 3.1.2.2.
V311: Final = 4
#: The protocol level of MQTT 5.
V5: Final = 5

#: A length has at most four bytes of seven bits each (section 2.2.3 of 3.1.1).
_LENGTH_BYTES: Final = 4
_CONTINUED: Final = 0x80


def body_bounds(data: bytes | bytearray, at: int, limit: int) -> tuple[int, int] | None:
    """Return where the body of the packet at *at* starts and ends, or None when cut off.

    The end may lie behind the end of *data*: the rest of the packet is still to come.

    Raises:
        PacketError: The length is malformed, or the whole packet has more than *limit* bytes.
    """
    length = shift = 0
    available = len(data)
    for index in range(at + 1, min(at + 1 + _LENGTH_BYTES, available)):
        byte = data[index]
        length |= (byte & 0x7F) << shift
        if byte < _CONTINUED:
            if shift and not byte:
                break
            end = index + 1 + length
            if end - at > limit:
                raise PacketError(
                    PACKET_TOO_LARGE, f"a packet of {end - at} bytes, allowed {limit}"
                )
            return index + 1, end
        shift += 7
    else:
        if available <= at + _LENGTH_BYTES:
            return None
    raise PacketError(MALFORMED_PACKET, "the length of a packet is malformed")


def encode_length(length: int) -> bytes:
    """Return *length* as a variable byte integer."""
    if length < _CONTINUED:
        return bytes((length,))
    encoded = bytearray()
    while length >= _CONTINUED:
        encoded.append(length & 0x7F | _CONTINUED)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


def encode_packet(first: int, *parts: bytes) -> bytes:
    """Return a packet with the type and flags of *first* around the joined *parts*."""
    body = b"".join(parts)
    return bytes((first,)) + encode_length(len(body)) + body


def encode_reply(kind: int, version: int, packet_id: bytes, reason: int = SUCCESS) -> bytes:
    """Return a PUBACK, PUBREC, PUBREL or PUBCOMP, in its short form where that is allowed."""
    flags = 2 if kind == PacketTypes.PUBREL else 0
    first = kind << 4 | flags
    if version < V5 or reason == SUCCESS:
        return bytes((first, 2)) + packet_id
    return bytes((first, 3)) + packet_id + bytes((reason,))


class Reader:
    """The body of one packet, read from front to back."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        """Start at *start*."""
        self._data: Final = data
        self._at = start
        self._end: Final = len(data) if end is None else end

    def __len__(self) -> int:
        """Return how many bytes are left."""
        return self._end - self._at

    def take(self, count: int) -> bytes:
        """Return the next *count* bytes.

        Raises:
            PacketError: The packet is shorter.
        """
        start, self._at = self._at, self._at + count
        if self._at > self._end:
            raise PacketError(MALFORMED_PACKET, "a packet ends before its fields do")
        return self._data[start : self._at]

    def byte(self) -> int:
        """Return the next byte as a number."""
        return self.take(1)[0]

    def short(self) -> int:
        """Return the next two bytes as a number."""
        number: int = struct.unpack("!H", self.take(2))[0]
        return number

    def binary(self) -> bytes:
        """Return the next bytes that carry their length in front."""
        return self.take(self.short())

    def text(self) -> str:
        """Return the next text.

        Raises:
            PacketError: It is not UTF-8, or holds NUL (section 1.5.3 of 3.1.1).
        """
        return decode_text(self.binary())

    def properties(self, kind: int) -> Properties:
        """Return the MQTT 5 properties of a packet of type *kind*."""
        return read_properties(kind, self.property_bytes())

    def property_bytes(self) -> bytes:
        """Return the encoded properties without their length."""
        bounds = body_bounds(self._data, self._at - 1, 1 << 28)
        if bounds is None or bounds[1] > self._end:
            raise PacketError(MALFORMED_PACKET, "the properties end behind their packet")
        self._at = bounds[1]
        return self._data[bounds[0] : bounds[1]]

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self))

    def finish(self) -> None:
        """Check that nothing is left.

        Raises:
            PacketError: Bytes are left.
        """
        if len(self):
            raise PacketError(MALFORMED_PACKET, "a packet is longer than its fields")


def decode_text(data: bytes) -> str:
    """Return *data* as text.

    Raises:
        PacketError: It is not UTF-8, or holds NUL.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PacketError(MALFORMED_PACKET, "a text is not UTF-8") from error
    if "\0" in text:
        raise PacketError(MALFORMED_PACKET, "a text holds NUL")
    return text
