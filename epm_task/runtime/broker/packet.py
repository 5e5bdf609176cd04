"""An MQTT packet, as far as a publisher at QoS 1 writes and reads them once it is connected.

paho-mqtt makes the connection. Past the CONNACK its client rescans its whole queue at every
acknowledgement (`benchmarks/throughput.py`); these few bytes are what is left to do without it.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from epm_task.runtime.broker.handshake import BrokerAddress, ConnectionLost, MqttHandshake

if TYPE_CHECKING:
    from collections.abc import Iterable

    from epm_task.runtime.log.outbox import Message


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
    """Bytes that are no MQTT packet."""


class Received:
    """What some bytes from the broker said.

    Attributes:
        settled: Packet ids that were acknowledged.
        refused: Packet ids with the reason code of a failure.
        disconnect_reason: Reason code of a DISCONNECT, or None.
    """

    __slots__ = ("disconnect_reason", "refused", "settled")

    def __init__(self) -> None:
        self.settled: list[int] = []
        self.refused: list[tuple[int, int]] = []
        self.disconnect_reason: int | None = None


def publish_packet(topic: bytes, packet_id: int, payload: bytes, *, mqtt5: bool) -> bytes:
    """Return a PUBLISH at QoS 1, not retained; MQTT 5 has one more byte, for no properties."""
    variable = b"%c%c%b%c%c" % (
        len(topic) >> 8,
        len(topic) & 255,
        topic,
        packet_id >> 8,
        packet_id & 255,
    )
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


_RECEIVE_BYTES: Final = 64 * 1024


class MqttConnection:
    """One connection, from the TCP connect to its end; used by one thread.

    Args:
        address: Where, and as whom.
        mqtt5: MQTT 5, in which a refusal can be seen; else 3.1.1.

    Attributes:
        window: How many messages may be in flight.
        max_packet_bytes: The broker's limit, None without one.
        keep_alive_seconds: The broker hangs up after 1.5 times this without a packet; 0: never.

    Raises:
        ConnectionLost: No connection in time, or the broker refused this version.
        BrokerRefused: The broker refused the client.
        UnsafeBroker: Another user's process holds the port, or its certificate is refused.
    """

    def __init__(self, address: BrokerAddress, *, mqtt5: bool) -> None:
        """Connect."""
        handshake = MqttHandshake(address, mqtt5=mqtt5)
        self.mqtt5: Final = mqtt5
        self.window: Final = handshake.window
        self.max_packet_bytes: Final = handshake.max_packet_bytes
        self.keep_alive_seconds: Final = handshake.keep_alive_seconds
        self._handshake = handshake  # its client closes the socket when it is collected
        self._socket: Final = handshake.socket
        self._outgoing = bytearray()
        self._incoming = bytearray()

    def fileno(self) -> int:
        """Return the socket's descriptor, for `select`."""
        return self._socket.fileno()

    @property
    def wants_to_write(self) -> bool:
        """Whether bytes wait for the socket to take them."""
        return bool(self._outgoing)

    def publish(self, messages: Iterable[tuple[int, Message]]) -> None:
        """Send messages in as few writes as possible.

        Raises:
            ConnectionLost: The broker is gone.
        """
        packets = (
            publish_packet(
                message.topic.encode("utf-8"), packet_id, message.payload, mqtt5=self.mqtt5
            )
            for packet_id, message in messages
        )
        self.write(b"".join(packets))

    def write(self, data: bytes = b"") -> None:
        """Send *data* after what still waits; what the socket does not take now waits on.

        Raises:
            ConnectionLost: The broker is gone.
        """
        self._outgoing += data
        try:
            while self._outgoing:
                sent = self._socket.send(self._outgoing)
                del self._outgoing[:sent]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError as error:
            raise ConnectionLost(error.strerror or str(error)) from error

    def read(self) -> Received | None:
        """Return what has arrived, None when nothing has.

        Raises:
            ConnectionLost: The broker closed the connection, or sent what is no MQTT.
        """
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError as error:
            raise ConnectionLost(error.strerror or str(error)) from error
        if not data:
            raise ConnectionLost("the broker closed the connection")
        self._incoming += data
        while pending := self._socket.pending():  # select() does not see what OpenSSL holds
            self._incoming += self._socket.recv(pending)
        try:
            return read_packets(self._incoming)
        except MalformedPacket as error:
            raise ConnectionLost(str(error)) from error

    def close(self, *, politely: bool = False) -> None:
        """Close the socket, after a DISCONNECT when *politely*."""
        if politely:
            self._say_goodbye()
        self._socket.close()

    def _say_goodbye(self) -> None:
        try:
            self.write(DISCONNECT)
        except ConnectionLost:
            return  # it has left already, which is what this asks for
