"""Connect to the agent's broker with paho-mqtt, then send and receive on its socket.

This is the only place that knows paho-mqtt: a successor changes this file.
"""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from epm_task.errors import BrokerRefused, UnsafeBroker
from epm_task.runtime.agent.tls import CONNECT_SECONDS, HANDSHAKE_SECONDS, Dialer, readable
from epm_task.runtime.attestation.attestation import Untrusted
from epm_task.runtime.broker.packet import (
    DISCONNECT,
    MOST_PACKET_BYTES,
    MalformedPacket,
    Received,
    publish_packet,
    read_packets,
)
from epm_task.runtime.start_up import slim_import

with slim_import("paho"):
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.reasoncodes import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paho.mqtt.properties import Properties

    from epm_task.runtime.log.outbox import Message

KEEP_ALIVE_SECONDS: Final = 15
#: More than 100 in flight gains nothing, and resends more after a lost connection.
WINDOW: Final = 100
#: CONNACK "unsupported protocol version", in MQTT 5 and in 3.1.1.
_UNSUPPORTED_VERSION: Final = frozenset({0x84, 0x01})
#: More than a TLS record holds, 16 KiB: OpenSSL then keeps nothing that a selector does not see.
_RECEIVE_BYTES: Final = 64 * 1024


class ConnectionLost(Exception):
    """The connection could not be made, or ended; the text is the reason."""


class VersionRefused(ConnectionLost):
    """The broker does not speak this version of MQTT, or hung up instead of saying so."""


class BrokerAddress(NamedTuple):
    """Where the broker is, on the loopback interface, and as whom to connect."""

    host: str
    port: int
    client_id: str
    context: ssl.SSLContext
    #: How many messages may be under way to this client; 0 for one that subscribes to nothing.
    receives: int = 0

    def __str__(self) -> str:
        """Return `host:port`."""
        return f"{self.host}:{self.port}"


class MqttConnection:
    """One connection, made in *seconds*, from the TCP connect to its end; used by one thread.

    It speaks MQTT 5, in which a refusal can be seen, or else 3.1.1.

    Attributes:
        window: How many messages may be in flight.
        max_packet_bytes: The broker's limit, None without one.
        keep_alive_seconds: The broker hangs up after 1.5 times this without a packet; 0: never.

    Raises:
        VersionRefused: The broker refused this version; try the other one.
        ConnectionLost: No connection in time.
        BrokerRefused: The broker refused the client.
        UnsafeBroker: Another user's process holds the port, or its certificate is refused.
    """

    def __init__(
        self, address: BrokerAddress, *, mqtt5: bool, seconds: float = HANDSHAKE_SECONDS
    ) -> None:
        self.mqtt5: Final = mqtt5
        self.window: int = WINDOW
        self.max_packet_bytes: int | None = None
        self.keep_alive_seconds: float = KEEP_ALIVE_SECONDS
        self._address = address
        self._answer: tuple[ReasonCode, Properties | None] | None = None
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._until = time.monotonic() + seconds
        self._dialer = Dialer((address.host, address.port), address.context, seconds=seconds)
        self._client = self._make_client()  # it closes the socket when it is collected
        try:
            self._open()
            self._obey(*self._await_connack())
        except BaseException:
            if (opened := self._client.socket()) is not None:
                opened.close()
            raise
        self._socket: Final = cast("ssl.SSLSocket", self._client.socket())

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
            ConnectionLost: The broker closed the connection, or sent what is not MQTT.
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
        try:
            return read_packets(self._incoming, mqtt5=self.mqtt5)
        except MalformedPacket as error:
            raise ConnectionLost(str(error)) from error

    def close(self, *, politely: bool = False) -> None:
        """Close the socket, after a DISCONNECT when *politely*."""
        if politely:
            with suppress(ConnectionLost):  # it has left already, which is what this asks for
                self.write(DISCONNECT)
        self._socket.close()

    def _make_client(self) -> Client:
        version = MQTTProtocolVersion.MQTTv5 if self.mqtt5 else MQTTProtocolVersion.MQTTv311
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._address.client_id,
            protocol=version,
            reconnect_on_failure=False,
        )
        client.tls_set_context(cast("ssl.SSLContext", self._dialer))
        client.connect_timeout = CONNECT_SECONDS
        client.on_connect = self._on_connect
        return client

    def _open(self) -> None:
        address = self._address
        try:
            self._dialer.check_listener()
            self._client.connect(
                address.host,
                address.port,
                keepalive=KEEP_ALIVE_SECONDS,
                properties=self._limits() if address.receives and self.mqtt5 else None,
            )
        except Untrusted as error:
            raise UnsafeBroker(error.what, error.why, f"{error.fix} with --ca-file") from error
        except ssl.SSLCertVerificationError as error:
            raise UnsafeBroker(
                f"the certificate of the broker at {address} is refused",
                error.verify_message,
                "check which program holds the port, and that --ca-file is the CA of this agent",
            ) from error
        except OSError as error:
            raise ConnectionLost(error.strerror or str(error)) from error

    def _limits(self) -> Properties:
        from paho.mqtt.properties import Properties  # noqa: PLC0415  # paho has loaded it

        limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        limits.ReceiveMaximum = self._address.receives
        limits.MaximumPacketSize = MOST_PACKET_BYTES
        return limits

    def _on_connect(
        self,
        _client: Client,
        _userdata: object,
        _flags: object,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._answer = (reason, properties)

    def _await_connack(self) -> tuple[ReasonCode, Properties | None]:
        code = MQTTErrorCode.MQTT_ERR_SUCCESS
        while self._answer is None and code == MQTTErrorCode.MQTT_ERR_SUCCESS:
            left = self._until - time.monotonic()
            if left <= 0 or not readable(self._client.socket(), left):
                raise ConnectionLost("no CONNACK in time")
            code = self._client.loop_read()
        if self._answer is None:
            raise VersionRefused("the broker closed the connection instead of answering CONNECT")
        return self._answer

    def _obey(self, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.value in _UNSUPPORTED_VERSION and self.mqtt5:
            raise VersionRefused(f"the broker refused MQTT 5 ({reason})")
        if reason.value:
            raise BrokerRefused(str(self._address), str(reason), self._address.client_id)
        limits = vars(properties) if properties is not None else {}
        if limits.get("MaximumQoS", 1) < 1:
            raise BrokerRefused(
                str(self._address), "it acknowledges nothing: QoS 0 only", self._address.client_id
            )
        self.window = min(WINDOW, limits.get("ReceiveMaximum", WINDOW))
        self.max_packet_bytes = limits.get("MaximumPacketSize")
        self.keep_alive_seconds = limits.get("ServerKeepAlive", KEEP_ALIVE_SECONDS)


def reason_text(code: int, *, disconnect: bool = False) -> str:
    """Return a reason code of MQTT 5 in words, as `0x87 Not authorized`."""
    try:
        kind = PacketTypes.DISCONNECT if disconnect else PacketTypes.PUBACK
        words = ReasonCode(kind, identifier=code).getName()
    except (KeyError, ValueError):
        words = "unknown reason"
    return f"0x{code:02x} {words}"
