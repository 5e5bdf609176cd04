"""An MQTT connection publishes at QoS 1 on a connected socket, without paho's queue."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from epm_task.runtime import mqtt_packet
from epm_task.runtime.mqtt_handshake import BrokerAddress, ConnectionLost, MqttHandshake

if TYPE_CHECKING:
    from collections.abc import Iterable

    from epm_task.runtime.outbox import Message

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
            mqtt_packet.publish_packet(
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

    def read(self) -> mqtt_packet.Received | None:
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
            return mqtt_packet.read_packets(self._incoming)
        except mqtt_packet.MalformedPacket as error:
            raise ConnectionLost(str(error)) from error

    def close(self, *, politely: bool = False) -> None:
        """Close the socket, after a DISCONNECT when *politely*."""
        if politely:
            self._say_goodbye()
        self._socket.close()

    def _say_goodbye(self) -> None:
        try:
            self.write(mqtt_packet.DISCONNECT)
        except ConnectionLost:
            return  # it has left already, which is what this asks for
