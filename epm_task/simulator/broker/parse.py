"""Read what clients ask for: CONNECT, PUBLISH, SUBSCRIBE and UNSUBSCRIBE."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker.message import Message
from epm_task.simulator.broker.packet import V5, V311, PacketError, Reader, Reason
from epm_task.simulator.broker.properties import (
    Publication,
    publication_of,
    read_properties,
    read_publication,
)

#: A session with this expiry never ends (section 3.1.2.11.2 of MQTT 5).
NEVER_SECONDS: Final = 0xFFFF_FFFF

_QOS_MASK: Final = 3
#: Of a PUBLISH (section 3.3.1.1).
_DUP: Final = 0x08

# The flags of a CONNECT (section 3.1.2.3).
_RESERVED: Final = 0x01
_CLEAN: Final = 0x02
_WILL: Final = 0x04
_WILL_QOS_SHIFT: Final = 3
_WILL_RETAIN: Final = 0x20
_PASSWORD: Final = 0x40
_USER_NAME: Final = 0x80

# The options of a subscription (section 3.8.3.1 of MQTT 5); 3.1.1 has only the QoS.
_NO_LOCAL: Final = 0x04
_RETAIN_AS_PUBLISHED: Final = 0x08
_RETAIN_HANDLING_SHIFT: Final = 4
_RESERVED_OPTIONS: Final = 0xC0

#: The matcher recurses once for each level; mosquitto has the same bound.
_LEVELS: Final = 200


class Will(NamedTuple):
    """What is published when a client is gone without a goodbye."""

    message: Message  #: Not yet checked against any permission, and without its publisher.
    delay_seconds: int = 0  #: Between the end of the connection and the publication.
    expiry_seconds: int | None = None  #: From its publication on; None for never.


class Connect(NamedTuple):
    """What a client said in its CONNECT."""

    version: int  #: `V311` or `V5`.
    client_id: str  #: Empty when the broker shall choose one.
    clean: bool  #: Whether an older session is thrown away.
    keep_alive_seconds: int  #: 0 for none.
    expiry_seconds: int  #: How long the session outlives the connection.
    receive_maximum: int  #: Unacknowledged deliveries that the client allows.
    packet_bytes: int | None  #: Longest packet that the client takes; None for any.
    will: Will | None


def parse_connect(data: bytes, start: int, end: int) -> Connect:
    """Return the CONNECT whose body lies between *start* and *end*.

    Raises:
        PacketError: It is malformed, or with UNSUPPORTED_VERSION neither MQTT 3.1.1 nor 5.
    """
    reader = Reader(data, start, end)
    version = _version(reader)
    flags = _checked_flags(reader.byte(), version)
    keep_alive = reader.short()
    asked: dict[str, Any] = {}
    if version == V5:
        asked = read_properties(PacketTypes.CONNECT, reader.property_bytes())
    client_id = reader.text()
    will = _will(reader, flags, version) if flags & _WILL else None
    if flags & _USER_NAME:
        reader.text()
    if flags & _PASSWORD:
        reader.binary()
    reader.finish()
    if "AuthenticationMethod" in asked:
        raise PacketError("no authentication method is offered", Reason.BAD_AUTHENTICATION_METHOD)
    clean = bool(flags & _CLEAN)
    lasting = NEVER_SECONDS if version == V311 and not clean else 0
    return Connect(
        version=version,
        client_id=client_id,
        clean=clean,
        keep_alive_seconds=keep_alive,
        expiry_seconds=asked.get("SessionExpiryInterval", lasting),
        receive_maximum=asked.get("ReceiveMaximum", 0xFFFF),
        packet_bytes=asked.get("MaximumPacketSize"),
        will=will,
    )


def _version(reader: Reader) -> int:
    name = reader.binary()
    if name not in (b"MQTT", b"MQIsdp"):
        raise PacketError("the first packet is not a CONNECT of MQTT")
    level = reader.byte()
    if name != b"MQTT" or level not in (V311, V5):
        raise PacketError(f"protocol level {level} is not supported", Reason.UNSUPPORTED_VERSION)
    return level


def _checked_flags(flags: int, version: int) -> int:
    qos = flags >> _WILL_QOS_SHIFT & _QOS_MASK
    bad = (
        flags & _RESERVED
        or qos == _QOS_MASK
        or (not flags & _WILL and (qos or flags & _WILL_RETAIN))
        or (version == V311 and flags & _PASSWORD and not flags & _USER_NAME)
    )
    if bad:
        raise PacketError(f"CONNECT flags {flags:#04x} contradict themselves")
    return flags


def _will(reader: Reader, flags: int, version: int) -> Will:
    values: dict[str, Any] = {}
    publication = Publication()
    if version == V5:
        values = read_properties(PacketTypes.WILLMESSAGE, reader.property_bytes())
        publication = publication_of(values)
    topic = reader.text()
    if not is_topic_name(topic):
        raise PacketError("the will's topic cannot be published on", Reason.TOPIC_NAME_INVALID)
    message = Message(
        topic,
        reader.binary(),
        flags >> _WILL_QOS_SHIFT & _QOS_MASK,
        bool(flags & _WILL_RETAIN),
        forwarded=publication.forwarded,
    )
    return Will(message, values.get("WillDelayInterval", 0), publication.expiry_seconds)


class Publish(NamedTuple):
    """The fields of a PUBLISH; the topic is not decoded yet, the packet id is empty for QoS 0."""

    topic: bytes
    qos: int
    retain: bool
    packet_id: bytes
    publication: Publication
    payload: bytes


def parse_publish(first: int, version: int, data: bytes, start: int, end: int) -> Publish:
    """Return the PUBLISH with the flags in *first* and its body between *start* and *end*.

    Raises:
        PacketError: It is malformed.
    """
    qos = first >> 1 & _QOS_MASK
    if qos == _QOS_MASK or (not qos and first & _DUP):
        raise PacketError(f"PUBLISH flags {first & 0xF:#x} contradict themselves")
    # This is the path of every record, so it counts bytes itself instead of asking a Reader.
    if end - start < 2:
        raise PacketError("a PUBLISH without a topic")
    at = start + 2 + (data[start] << 8 | data[start + 1])
    topic = data[start + 2 : at]
    packet_id = b""
    if qos:
        packet_id = data[at : at + 2]
        at += 2
        if packet_id == b"\0\0":
            raise PacketError("packet identifier 0", Reason.PROTOCOL_ERROR)
    publication = Publication()
    if version == V5 and at < end:
        if data[at]:
            reader = Reader(data, at, end)
            publication = read_publication(reader.property_bytes())
            at = end - len(reader)
        else:
            at += 1
    elif version == V5:
        at = end + 1
    if at > end:
        raise PacketError("a PUBLISH ends before its fields do")
    return Publish(topic, qos, bool(first & 1), packet_id, publication, data[at:end])


class Subscription(NamedTuple):
    """One topic filter with its options."""

    topic_filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    identifier: int | None = None


def parse_subscribe(
    version: int, data: bytes, start: int, end: int
) -> tuple[bytes, list[Subscription]]:
    """Return the packet id and the subscriptions of a SUBSCRIBE between *start* and *end*.

    Raises:
        PacketError: It is malformed, or names no filter.
    """
    reader = Reader(data, start, end)
    packet_id = reader.packet_id()
    identifiers: list[int] = []
    if version == V5:
        values = read_properties(PacketTypes.SUBSCRIBE, reader.property_bytes())
        identifiers = values.get("SubscriptionIdentifier", [])
        if len(identifiers) > 1:
            raise PacketError("more than one subscription identifier", Reason.PROTOCOL_ERROR)
    identifier = identifiers[0] if identifiers else None
    subscriptions = []
    while len(reader):
        subscriptions.append(_subscription(version, reader.text(), reader.byte(), identifier))
    if not subscriptions:
        raise PacketError("a SUBSCRIBE without a topic filter", Reason.PROTOCOL_ERROR)
    return packet_id, subscriptions


def parse_unsubscribe(version: int, data: bytes, start: int, end: int) -> tuple[bytes, list[str]]:
    """Return the packet id and the filters of an UNSUBSCRIBE between *start* and *end*.

    Raises:
        PacketError: It is malformed, or names no filter.
    """
    reader = Reader(data, start, end)
    packet_id = reader.packet_id()
    if version == V5:
        read_properties(PacketTypes.UNSUBSCRIBE, reader.property_bytes())
    topic_filters = []
    while len(reader):
        topic_filters.append(reader.text())
    if not topic_filters:
        raise PacketError("an UNSUBSCRIBE without a topic filter", Reason.PROTOCOL_ERROR)
    return packet_id, topic_filters


def _subscription(
    version: int, topic_filter: str, options: int, identifier: int | None
) -> Subscription:
    qos = options & _QOS_MASK
    handling = options >> _RETAIN_HANDLING_SHIFT & _QOS_MASK
    reserved = options & (_RESERVED_OPTIONS if version == V5 else ~_QOS_MASK)
    if _QOS_MASK in {qos, handling} or reserved:
        raise PacketError(f"subscription options {options:#04x} are reserved")
    return Subscription(
        topic_filter,
        qos,
        bool(options & _NO_LOCAL),
        bool(options & _RETAIN_AS_PUBLISHED),
        handling,
        identifier,
    )


def is_topic_name(name: str) -> bool:
    """Return whether *name* can be published on (section 4.7)."""
    return bool(name) and "+" not in name and "#" not in name


def is_topic_filter(topic_filter: str) -> bool:
    """Return whether one can subscribe to *topic_filter*: wildcards fill levels, `#` the last."""
    if not topic_filter or topic_filter.count("/") >= _LEVELS:
        return False
    levels = topic_filter.split("/")
    if any(len(level) > 1 and ("+" in level or "#" in level) for level in levels):
        return False
    return "#" not in levels[:-1]
