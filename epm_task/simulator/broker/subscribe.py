"""A SUBSCRIBE names the topic filters that its client wants from now on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker.packet import V5, Reader, encode_packet
from epm_task.simulator.broker.properties import values_of
from epm_task.simulator.broker.reason import MALFORMED_PACKET, PROTOCOL_ERROR, PacketError

if TYPE_CHECKING:
    from collections.abc import Iterable


# The option byte of section 3.8.3.1 of MQTT 5; 3.1.1 uses the two lowest bits only.
_QOS_MASK: Final = 0x03
_NO_LOCAL: Final = 0x04
_RETAIN_AS_PUBLISHED: Final = 0x08
_RETAIN_HANDLING_SHIFT: Final = 4
_RESERVED: Final = 0xC0


class Subscription(NamedTuple):
    """One topic filter with its options."""

    topic_filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    identifier: int | None = None


class Subscribe(NamedTuple):
    """A SUBSCRIBE."""

    packet_id: bytes
    subscriptions: list[Subscription]


class Unsubscribe(NamedTuple):
    """An UNSUBSCRIBE."""

    packet_id: bytes
    topic_filters: list[str]


def parse_subscribe(version: int, data: bytes, start: int, end: int) -> Subscribe:
    """Return the SUBSCRIBE whose body lies between *start* and *end*.

    Raises:
        PacketError: It is malformed, or names no filter.
    """
    reader = Reader(data, start, end)
    packet_id = _packet_id(reader)
    identifier = None
    if version == V5:
        values = values_of(reader.properties(PacketTypes.SUBSCRIBE))
        identifiers = values.get("SubscriptionIdentifier", [])
        if len(identifiers) > 1:
            raise PacketError(PROTOCOL_ERROR, "more than one subscription identifier")
        identifier = identifiers[0] if identifiers else None
    subscriptions = []
    while len(reader):
        subscriptions.append(_subscription(version, reader.text(), reader.byte(), identifier))
    if not subscriptions:
        raise PacketError(PROTOCOL_ERROR, "a SUBSCRIBE without a topic filter")
    return Subscribe(packet_id, subscriptions)


def parse_unsubscribe(version: int, data: bytes, start: int, end: int) -> Unsubscribe:
    """Return the UNSUBSCRIBE whose body lies between *start* and *end*.

    Raises:
        PacketError: It is malformed, or names no filter.
    """
    reader = Reader(data, start, end)
    packet_id = _packet_id(reader)
    if version == V5:
        reader.properties(PacketTypes.UNSUBSCRIBE)
    topic_filters = []
    while len(reader):
        topic_filters.append(reader.text())
    if not topic_filters:
        raise PacketError(PROTOCOL_ERROR, "an UNSUBSCRIBE without a topic filter")
    return Unsubscribe(packet_id, topic_filters)


def encode_suback(version: int, packet_id: bytes, codes: Iterable[int]) -> bytes:
    """Return a SUBACK with one code for each filter."""
    properties = b"\0" if version == V5 else b""
    return encode_packet(PacketTypes.SUBACK << 4, packet_id, properties, bytes(codes))


def encode_unsuback(version: int, packet_id: bytes, codes: Iterable[int]) -> bytes:
    """Return an UNSUBACK; 3.1.1 knows no codes in it."""
    rest = b"\0" + bytes(codes) if version == V5 else b""
    return encode_packet(PacketTypes.UNSUBACK << 4, packet_id, rest)


def _packet_id(reader: Reader) -> bytes:
    packet_id = reader.take(2)
    if packet_id == b"\0\0":
        raise PacketError(PROTOCOL_ERROR, "packet identifier 0")
    return packet_id


def _subscription(
    version: int, topic_filter: str, options: int, identifier: int | None
) -> Subscription:
    qos = options & _QOS_MASK
    handling = options >> _RETAIN_HANDLING_SHIFT & _QOS_MASK
    reserved = options & (_RESERVED if version == V5 else ~_QOS_MASK)
    if _QOS_MASK in {qos, handling} or reserved:
        raise PacketError(MALFORMED_PACKET, f"subscription options {options:#04x} are reserved")
    return Subscription(
        topic_filter,
        qos,
        bool(options & _NO_LOCAL),
        bool(options & _RETAIN_AS_PUBLISHED),
        handling,
        identifier,
    )


#: The matcher recurses once for each level; mosquitto has the same bound.
_LEVELS: Final = 200
_SHARED: Final = "$share/"


def is_topic_name(name: str) -> bool:
    """Return whether *name* can be published on (section 4.7 of both standards)."""
    return bool(name) and "+" not in name and "#" not in name


def is_topic_filter(topic_filter: str) -> bool:
    """Return whether one can subscribe to *topic_filter*: wildcards fill levels, `#` the last."""
    if not topic_filter or topic_filter.count("/") >= _LEVELS:
        return False
    levels = topic_filter.split("/")
    if any(len(level) > 1 and ("+" in level or "#" in level) for level in levels):
        return False
    return "#" not in levels[:-1]


def is_shared(topic_filter: str) -> bool:
    """Return whether it is a shared subscription, which this broker does not offer."""
    return topic_filter.startswith(_SHARED)
