"""An MQTT handshake is what leads to a connection: TCP, TLS, the peer's owner, CONNECT, CONNACK.

paho-mqtt does it, and this is the only place that knows paho-mqtt: a successor changes this file.
"""

from __future__ import annotations

import select
import ssl
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from epm_task.errors import BrokerRefused, UnsafeBroker
from epm_task.runtime.attestation import attestation
from epm_task.runtime.slim_import import slim_import
from epm_task.runtime.tls import attested

# With PySocks installed paho would obey MQTT_PROXY; dnspython is for SRV records.
with slim_import(without=("socks", "dns"), deferred=("uuid",)):
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.reasoncodes import ReasonCode

if TYPE_CHECKING:
    import socket

    from paho.mqtt.properties import Properties

#: On loopback both take milliseconds; paho would wait for a CONNACK as long as the keep-alive.
CONNECT_SECONDS: Final = 2.0
CONNACK_SECONDS: Final = 2.0
KEEP_ALIVE_SECONDS: Final = 15
#: More than 100 in flight gains nothing, and resends more after a lost connection.
WINDOW: Final = 100
#: CONNACK "unsupported protocol version", in MQTT 5 and in 3.1.1.
_UNSUPPORTED_VERSION: Final = frozenset({0x84, 0x01})


class ConnectionLost(Exception):
    """The connection could not be made, or ended; the text is the reason."""


class VersionRefused(ConnectionLost):
    """The broker does not speak this version of MQTT, or hung up instead of saying so."""


class BrokerAddress(NamedTuple):
    """Where the broker is and as whom to connect.

    Attributes:
        host: IP address of the loopback interface.
        port: TCP port.
        client_id: From `client_id.make_client_id`.
        context: TLS context from `tls.client_context`.
    """

    host: str
    port: int
    client_id: str
    context: ssl.SSLContext

    def __str__(self) -> str:
        """Return `host:port`."""
        return f"{self.host}:{self.port}"


class _KeepingContext:
    """A TLS context that keeps the socket it wraps: paho forgets one whose handshake fails."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.check_hostname = context.check_hostname
        self.wrapped: ssl.SSLSocket | None = None

    def wrap_socket(self, plain: socket.socket, **how: Any) -> ssl.SSLSocket:
        self.wrapped = self._context.wrap_socket(plain, **how)
        return self.wrapped


class MqttHandshake:
    """One handshake; it is done when the object exists.

    Args:
        address: Where, and as whom.
        mqtt5: MQTT 5, in which a refusal can be seen; else 3.1.1.

    Attributes:
        socket: The connected socket, which does not block.
        window: How many messages may be in flight.
        max_packet_bytes: The broker's limit, None without one.
        keep_alive_seconds: The broker hangs up after 1.5 times this without a packet; 0: never.

    Raises:
        VersionRefused: The broker refused this version; try the other one.
        ConnectionLost: No connection in time.
        BrokerRefused: The broker refused the client.
        UnsafeBroker: Another user's process holds the port, or its certificate is refused.
    """

    def __init__(self, address: BrokerAddress, *, mqtt5: bool) -> None:
        """Connect."""
        self.window = WINDOW
        self.max_packet_bytes: int | None = None
        self.keep_alive_seconds: float = KEEP_ALIVE_SECONDS
        self._address = address
        self._mqtt5 = mqtt5
        self._answer: tuple[ReasonCode, Properties | None] | None = None
        self._tls = _KeepingContext(address.context)
        self._client = self._make_client()
        try:
            self._open()
            self._await_connack()
            self._obey_connack()
        except BaseException:
            self._close()
            raise
        opened = self._client.socket()
        assert isinstance(opened, ssl.SSLSocket)  # noqa: S101  # tls_set_context makes it one
        self.socket: Final = opened

    def _close(self) -> None:
        if self._tls.wrapped is not None:
            self._tls.wrapped.close()

    def _make_client(self) -> Client:
        version = MQTTProtocolVersion.MQTTv5 if self._mqtt5 else MQTTProtocolVersion.MQTTv311
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._address.client_id,
            protocol=version,
            reconnect_on_failure=False,
        )
        client.tls_set_context(cast("ssl.SSLContext", self._tls))
        client.connect_timeout = CONNECT_SECONDS
        client.on_connect = self._on_connect
        client.on_socket_open = self._on_socket_open
        return client

    def _open(self) -> None:
        address = self._address
        try:
            if attested(address.context):
                attestation.check_listener(address.host, address.port)
            self._client.connect(address.host, address.port, keepalive=KEEP_ALIVE_SECONDS)
        except attestation.Untrusted as error:
            raise UnsafeBroker(str(error)) from error
        except ssl.SSLCertVerificationError as error:
            raise UnsafeBroker(
                f"the certificate of the broker at {address} is refused ({error.verify_message}); "
                "another program may hold the port, or --ca-file is not the CA of this agent"
            ) from error
        except OSError as error:
            raise ConnectionLost(error.strerror or str(error)) from error

    def _on_socket_open(self, _client: Client, _userdata: object, opened: Any) -> None:
        if attested(self._address.context):
            attestation.check_peer(opened)

    def _on_connect(
        self,
        _client: Client,
        _userdata: object,
        _flags: object,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._answer = (reason, properties)

    def _await_connack(self) -> None:
        until = time.monotonic() + CONNACK_SECONDS
        code = MQTTErrorCode.MQTT_ERR_SUCCESS
        while self._answer is None and code == MQTTErrorCode.MQTT_ERR_SUCCESS:
            left = until - time.monotonic()
            if left <= 0 or not _readable(self._client.socket(), left):
                raise ConnectionLost(f"no CONNACK in {CONNACK_SECONDS:.0f} s")
            code = self._client.loop_read()
        if self._answer is None:
            raise VersionRefused("the broker closed the connection instead of answering CONNECT")

    def _obey_connack(self) -> None:
        if self._answer is None:  # _await_connack has raised
            return
        reason, properties = self._answer
        if reason.value in _UNSUPPORTED_VERSION and self._mqtt5:
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


def _readable(opened: Any, seconds: float) -> bool:
    if opened is None:
        return True  # paho closed it; loop_read says so
    if opened.pending():
        return True
    if hasattr(select, "poll"):  # select() refuses descriptors above 1023
        poll = select.poll()
        poll.register(opened, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    return bool(select.select([opened], [], [], seconds)[0])
