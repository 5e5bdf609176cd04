"""The bytes of MQTT: lengths, texts, acknowledgements, and the numbers that say what was wrong.

Sections are those of the OASIS standards, MQTT 3.1.1 and 5; both number them alike.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from paho.mqtt.packettypes import PacketTypes

#: The protocol level of MQTT 3.1.1 (section 3.1.2.2).
V311: Final = 4
#: The protocol level of MQTT 5.
V5: Final = 5

#: A length has at most four bytes of seven bits each (section 2.2.3 of 3.1.1).
_LENGTH_BYTES: Final = 4
_CONTINUED: Final = 0x80


class Reason(IntEnum):
    """The reason codes of MQTT 5 (section 2.4) that this broker uses."""

    SUCCESS = 0x00
    WITH_WILL = 0x04
    NO_SUBSCRIPTION_EXISTED = 0x11
    FAILURE = 0x80  #: From here on it is an error. 3.1.1 knows only this one, in a SUBACK.
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_VERSION = 0x84
    CLIENT_ID_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_ID_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    SHARED_SUBSCRIPTION_NOT_SUPPORTED = 0x9E


class PacketError(Exception):
    """A packet that ends its connection; *why* is one clause, which only the trace ever sees."""

    def __init__(self, why: str, reason: int = Reason.MALFORMED_PACKET) -> None:
        super().__init__(why)
        self.reason: Final = reason
        self.why: Final = why


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
                why = f"a packet of {end - at} bytes, allowed {limit}"
                raise PacketError(why, Reason.PACKET_TOO_LARGE)
            return index + 1, end
        shift += 7
    else:
        if available <= at + _LENGTH_BYTES:
            return None
    raise PacketError("the length of a packet is malformed")


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


def encode_packet(first: int, *fields: bytes) -> bytes:
    """Return a packet with the type and flags of *first* around the joined *fields*."""
    body = b"".join(fields)
    return bytes((first,)) + encode_length(len(body)) + body


def encode_reply(kind: int, version: int, packet_id: bytes, reason: int = Reason.SUCCESS) -> bytes:
    """Return a PUBACK, PUBREC, PUBREL or PUBCOMP, in its short form where that is allowed."""
    flags = 2 if kind == PacketTypes.PUBREL else 0
    first = kind << 4 | flags
    if version < V5 or not reason:
        return bytes((first, 2)) + packet_id
    return bytes((first, 3)) + packet_id + bytes((reason,))


class Reader:
    """The body of one packet, read from front to back."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data: Final = data
        self._at = start
        self._end: Final = len(data) if end is None else end

    def __len__(self) -> int:
        return self._end - self._at

    def take(self, count: int) -> bytes:
        """Return the next *count* bytes; raises PacketError when the packet is shorter."""
        start, self._at = self._at, self._at + count
        if self._at > self._end:
            raise PacketError("a packet ends before its fields do")
        return self._data[start : self._at]

    def byte(self) -> int:
        """Return the next byte as a number."""
        return self.take(1)[0]

    def short(self) -> int:
        """Return the next two bytes as a number."""
        return int.from_bytes(self.take(2), "big")

    def packet_id(self) -> bytes:
        """Return the next two bytes; raises PacketError when they are 0, which is forbidden."""
        packet_id = self.take(2)
        if packet_id == b"\0\0":
            raise PacketError("packet identifier 0", Reason.PROTOCOL_ERROR)
        return packet_id

    def binary(self) -> bytes:
        """Return the next bytes that carry their length in front."""
        return self.take(self.short())

    def text(self) -> str:
        """Return the next text; raises what `decode_text` does."""
        return decode_text(self.binary())

    def property_bytes(self) -> bytes:
        """Return the encoded properties without their length."""
        bounds = body_bounds(self._data, self._at - 1, 1 << 28)
        if bounds is None or bounds[1] > self._end:
            raise PacketError("the properties end behind their packet")
        self._at = bounds[1]
        return self._data[bounds[0] : bounds[1]]

    def finish(self) -> None:
        """Raise PacketError when bytes are left."""
        if len(self):
            raise PacketError("a packet is longer than its fields")


def decode_text(data: bytes) -> str:
    """Return *data* as text; raises PacketError for NUL or no UTF-8 (section 1.5.3 of 3.1.1)."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PacketError("a text is not UTF-8") from error
    if "\0" in text:
        raise PacketError("a text holds NUL")
    return text
