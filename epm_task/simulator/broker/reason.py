"""A reason is the number with which MQTT 5 says why something was refused or closed."""

from __future__ import annotations

from typing import Final

from paho.mqtt.client import convert_connack_rc_to_reason_code
from paho.mqtt.enums import ConnackCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode


def _disconnect(name: str) -> int:
    return ReasonCode(PacketTypes.DISCONNECT, name).value


SUCCESS: Final = 0
WITH_WILL: Final = _disconnect("Disconnect with will message")
UNSPECIFIED_ERROR: Final = _disconnect("Unspecified error")
MALFORMED_PACKET: Final = _disconnect("Malformed packet")
PROTOCOL_ERROR: Final = _disconnect("Protocol error")
NOT_AUTHORIZED: Final = _disconnect("Not authorized")
SERVER_SHUTTING_DOWN: Final = _disconnect("Server shutting down")
KEEP_ALIVE_TIMEOUT: Final = _disconnect("Keep alive timeout")
SESSION_TAKEN_OVER: Final = _disconnect("Session taken over")
TOPIC_FILTER_INVALID: Final = _disconnect("Topic filter invalid")
TOPIC_NAME_INVALID: Final = _disconnect("Topic name invalid")
RECEIVE_MAXIMUM_EXCEEDED: Final = _disconnect("Receive maximum exceeded")
TOPIC_ALIAS_INVALID: Final = _disconnect("Topic alias invalid")
PACKET_TOO_LARGE: Final = _disconnect("Packet too large")
QUOTA_EXCEEDED: Final = _disconnect("Quota exceeded")
ADMINISTRATIVE_ACTION: Final = _disconnect("Administrative action")
SHARED_SUBSCRIPTION_NOT_SUPPORTED: Final = _disconnect("Shared subscription not supported")
UNSUPPORTED_VERSION: Final = ReasonCode(PacketTypes.CONNACK, "Unsupported protocol version").value
CLIENT_ID_NOT_VALID: Final = ReasonCode(PacketTypes.CONNACK, "Client identifier not valid").value
SERVER_UNAVAILABLE: Final = ReasonCode(PacketTypes.CONNACK, "Server unavailable").value
BAD_AUTHENTICATION_METHOD: Final = ReasonCode(
    PacketTypes.CONNACK, "Bad authentication method"
).value
NO_SUBSCRIPTION_EXISTED: Final = ReasonCode(PacketTypes.UNSUBACK, "No subscription found").value
PACKET_ID_NOT_FOUND: Final = ReasonCode(PacketTypes.PUBREL, "Packet identifier not found").value

#: MQTT 3.1.1 knows five refusals, 1 to 5; paho knows which reason each of them is.
_RETURN_CODES: Final = {
    convert_connack_rc_to_reason_code(ConnackCode(number)).value: number for number in range(1, 6)
}


def return_code(reason: int) -> int:
    """Return the MQTT 3.1.1 return code for a CONNACK *reason*; 3, unavailable, by default."""
    return _RETURN_CODES.get(reason, int(ConnackCode.CONNACK_REFUSED_SERVER_UNAVAILABLE))


class PacketError(Exception):
    """A packet that ends its connection.

    Args:
        reason: MQTT 5 reason code.
        why: One clause for the trace.
    """

    def __init__(self, reason: int, why: str) -> None:
        """Keep the code beside the text."""
        super().__init__(why)
        self.reason: Final = reason
        self.why: Final = why
