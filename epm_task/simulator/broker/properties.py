"""Read and write the properties of MQTT 5 packets with paho; what it raises becomes one error."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, Final, NamedTuple

from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from epm_task.simulator.broker.packet import PacketError, Reader

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
    """The properties of a PUBLISH or a will: what is passed on, and what is for the broker."""

    forwarded: bytes = b""
    topic_alias: int | None = None
    expiry_seconds: int | None = None


def write_properties(kind: int, **values: Any) -> bytes:
    """Return the properties of a packet of type *kind*, with their length in front.

    *values* are by paho's names.
    """
    properties = _Lenient(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return bytes(properties.pack())  # type: ignore[no-untyped-call]


def read_properties(kind: int, data: bytes) -> dict[str, Any]:
    """Return the values in *data*, which holds no length, by paho's names.

    Raises:
        PacketError: Unknown, foreign to this packet, doubled or cut off.
    """
    properties = _Lenient(kind)  # type: ignore[no-untyped-call]
    length: bytes = VariableByteIntegers.encode(len(data))  # type: ignore[no-untyped-call]
    try:
        properties.unpack(length + data)  # type: ignore[no-untyped-call]
    except (MQTTException, struct.error, ValueError, LookupError, TypeError) as error:
        raise PacketError(f"malformed properties: {error or type(error).__name__}") from error
    own = ("packetType", "types", "names", "properties")
    return {name: value for name, value in vars(properties).items() if name not in own}


def read_publication(data: bytes) -> Publication:
    """Return the properties of a PUBLISH; raises what `read_properties` does."""
    return _cached(data) if len(data) <= _CACHED_BYTES else _read_publication(data)


def publication_of(values: dict[str, Any]) -> Publication:
    """Return the properties that a PUBLISH or a will has, from the values by paho's names."""
    own = ("TopicAlias", "MessageExpiryInterval", "WillDelayInterval")
    passed = {name: value for name, value in values.items() if name not in own}
    with_length = b"\0" + write_properties(PacketTypes.PUBLISH, **passed)
    forwarded = Reader(with_length, 1).property_bytes()
    alias, expiry = values.get("TopicAlias"), values.get("MessageExpiryInterval")
    return Publication(forwarded, alias, expiry)


def _read_publication(data: bytes) -> Publication:
    values = read_properties(PacketTypes.PUBLISH, data)
    if "SubscriptionIdentifier" in values:
        raise PacketError("a client must not send a subscription identifier")
    if any(wildcard in values.get("ResponseTopic", "") for wildcard in "+#"):
        raise PacketError("a response topic holds a wildcard")
    return publication_of(values)


_cached = lru_cache(maxsize=256)(_read_publication)
