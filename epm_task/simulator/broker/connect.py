"""A CONNECT is the first packet of a client: who it is, how it wants to be served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker import reason
from epm_task.simulator.broker.packet import V5, V311, Reader, encode_packet
from epm_task.simulator.broker.properties import (
    new_properties,
    values_of,
    will_publication,
    write_properties,
)
from epm_task.simulator.broker.reason import PacketError
from epm_task.simulator.broker.subscribe import is_topic_name

if TYPE_CHECKING:
    from epm_task.simulator.broker.properties import Publication

#: A session with this expiry never ends (section 3.1.2.11.2 of MQTT 5).
NEVER_SECONDS: Final = 0xFFFF_FFFF

# The flags of section 3.1.2.3 of both standards.
_RESERVED: Final = 0x01
_CLEAN: Final = 0x02
_WILL: Final = 0x04
_WILL_QOS_SHIFT: Final = 3
_WILL_RETAIN: Final = 0x20
_PASSWORD: Final = 0x40
_USER_NAME: Final = 0x80
_QOS_MASK: Final = 3


@dataclass(frozen=True, slots=True)
class WillFields:
    """The will of a CONNECT, not yet checked against any permission."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    delay_seconds: int
    publication: Publication | None


@dataclass(frozen=True, slots=True)
class Connect:
    """What a client said in its CONNECT.

    Args:
        version: 4 for MQTT 3.1.1, 5 for MQTT 5.
        client_id: Empty when the broker shall choose one.
        clean: Whether an older session is thrown away.
        keep_alive_seconds: 0 for none.
        expiry_seconds: How long the session outlives the connection.
        receive_maximum: Unacknowledged deliveries that the client allows.
        packet_bytes: Longest packet that the client takes; None for any.
        will: None without a will.
    """

    version: int
    client_id: str
    clean: bool
    keep_alive_seconds: int
    expiry_seconds: int
    receive_maximum: int
    packet_bytes: int | None
    will: WillFields | None


class UnsupportedVersion(PacketError):
    """The client speaks another MQTT."""

    def __init__(self, level: int) -> None:
        """Say which."""
        super().__init__(reason.UNSUPPORTED_VERSION, f"protocol level {level} is not supported")


def parse_connect(data: bytes, start: int, end: int) -> Connect:
    """Return the CONNECT whose body lies between *start* and *end*.

    Raises:
        PacketError: It is malformed.
        UnsupportedVersion: It is neither MQTT 3.1.1 nor 5.
    """
    reader = Reader(data, start, end)
    version = _version(reader)
    flags = _checked_flags(reader.byte(), version)
    keep_alive = reader.short()
    asked: dict[str, Any] = {}
    if version == V5:
        asked = values_of(reader.properties(PacketTypes.CONNECT))
    client_id = reader.text()
    will = _will(reader, flags, version) if flags & _WILL else None
    if flags & _USER_NAME:
        reader.text()
    if flags & _PASSWORD:
        reader.binary()
    reader.finish()
    if "AuthenticationMethod" in asked:
        raise PacketError(reason.BAD_AUTHENTICATION_METHOD, "no authentication method is offered")
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
        raise PacketError(reason.MALFORMED_PACKET, "the first packet is no CONNECT of MQTT")
    level = reader.byte()
    if name != b"MQTT" or level not in (V311, V5):
        raise UnsupportedVersion(level)
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
        raise PacketError(
            reason.MALFORMED_PACKET, f"CONNECT flags {flags:#04x} contradict themselves"
        )
    return flags


def _will(reader: Reader, flags: int, version: int) -> WillFields:
    publication, delay = None, 0
    if version == V5:
        properties = reader.properties(PacketTypes.WILLMESSAGE)
        publication = will_publication(properties)
        delay = values_of(properties).get("WillDelayInterval", 0)
    topic = reader.text()
    if not is_topic_name(topic):
        raise PacketError(reason.TOPIC_NAME_INVALID, "the will's topic cannot be published on")
    return WillFields(
        topic=topic,
        payload=reader.binary(),
        qos=flags >> _WILL_QOS_SHIFT & _QOS_MASK,
        retain=bool(flags & _WILL_RETAIN),
        delay_seconds=delay,
        publication=publication,
    )


def encode_connack(version: int, code: int, *, present: bool = False, **values: Any) -> bytes:
    """Return a CONNACK; *values* are MQTT 5 properties by paho's names, left out for 3.1.1."""
    if version < V5:
        answer = reason.return_code(code) if code else 0
        return encode_packet(PacketTypes.CONNACK << 4, bytes((present, answer)))
    properties = write_properties(new_properties(PacketTypes.CONNACK, **values))
    return encode_packet(PacketTypes.CONNACK << 4, bytes((present, code)), properties)
