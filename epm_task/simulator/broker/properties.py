"""Properties are the named values of an MQTT 5 packet, read by paho within bounds of our own.

paho reads a property by copying all that follows it, so its time grows with the square of the
length; and what it raises on hostile bytes is not one type. Both end here.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, Final, NamedTuple

from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from epm_task.simulator.broker.reason import MALFORMED_PACKET, PacketError

#: Longer properties are refused: 64 KiB hold one user property of the greatest length, and the
#: square of it (5 bytes each, 13 000 properties) is still under a second.
MAX_BYTES: Final = 65_536
#: Only short properties are worth remembering.
_CACHED_BYTES: Final = 512
#: paho's upper bound for a maximum packet size; the standard's is greater.
_PAHO_PACKET_SIZE: Final = 268_435_455


class _Lenient(Properties):
    def __setattr__(self, name: str, value: Any) -> None:
        """Cut a maximum packet size that the standard allows but paho refuses."""
        if name.replace(" ", "") == "MaximumPacketSize" and isinstance(value, int):
            value = min(value, _PAHO_PACKET_SIZE)
        super().__setattr__(name, value)  # type: ignore[no-untyped-call]


class Publication(NamedTuple):
    """The properties of a PUBLISH, split into what is passed on and what is for the broker."""

    properties: Properties
    forwarded: bytes
    topic_alias: int | None
    expiry_seconds: int | None


def new_properties(kind: int, **values: Any) -> Properties:
    """Return properties for a packet of type *kind*, with *values* by paho's names."""
    properties = _Lenient(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def write_properties(properties: Properties) -> bytes:
    """Return *properties* with their length in front."""
    return bytes(properties.pack())  # type: ignore[no-untyped-call]


def read_properties(kind: int, data: bytes) -> Properties:
    """Return the properties in *data*, which holds no length; they are shared, so read only.

    Raises:
        PacketError: Unknown, foreign to this packet, doubled, cut off or over 64 KiB.
    """
    return _cached(kind, data) if len(data) <= _CACHED_BYTES else _unpack(kind, data)


def read_publication(data: bytes) -> Publication:
    """Return the properties of a PUBLISH or of a will.

    Raises:
        PacketError: As in `read_properties`.
    """
    return _cached_publication(data) if len(data) <= _CACHED_BYTES else _publication(data)


def _unpack(kind: int, data: bytes) -> Properties:
    if len(data) > MAX_BYTES:
        raise PacketError(MALFORMED_PACKET, f"properties of {len(data)} bytes, allowed {MAX_BYTES}")
    properties = new_properties(kind)
    length: bytes = VariableByteIntegers.encode(len(data))  # type: ignore[no-untyped-call]
    try:
        properties.unpack(length + data)  # type: ignore[no-untyped-call]
    except (MQTTException, struct.error, ValueError, LookupError, TypeError) as error:
        raise PacketError(
            MALFORMED_PACKET, f"malformed properties: {error or type(error).__name__}"
        ) from error
    return properties


def _publication(data: bytes) -> Publication:
    properties = _unpack(PacketTypes.PUBLISH, data)
    values = values_of(properties)
    if "SubscriptionIdentifier" in values:
        raise PacketError(MALFORMED_PACKET, "a client must not send a subscription identifier")
    if any(wildcard in values.get("ResponseTopic", "") for wildcard in "+#"):
        raise PacketError(MALFORMED_PACKET, "a response topic holds a wildcard")
    return _split(properties, values)


def will_publication(properties: Properties) -> Publication:
    """Return the properties with which a will is published."""
    values = values_of(properties)
    values.pop("WillDelayInterval", None)
    return _split(new_properties(PacketTypes.PUBLISH, **values), values)


def _split(properties: Properties, values: dict[str, Any]) -> Publication:
    values = dict(values)
    alias = values.pop("TopicAlias", None)
    expiry = values.pop("MessageExpiryInterval", None)
    forwarded = write_properties(new_properties(PacketTypes.PUBLISH, **values))
    start = 1
    while forwarded[start - 1] & 0x80:
        start += 1
    return Publication(properties, forwarded[start:], alias, expiry)


def values_of(properties: Properties) -> dict[str, Any]:
    """Return the values of *properties* by paho's names."""
    own = ("packetType", "types", "names", "properties")
    return {name: value for name, value in vars(properties).items() if name not in own}


_cached = lru_cache(maxsize=256)(_unpack)
_cached_publication = lru_cache(maxsize=256)(_publication)
