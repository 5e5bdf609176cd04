"""An MQTT peer is a broker that works by a script, and keeps what a client sent."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from peers.listener import Listener
from peers.mqtt_connection import MqttConnection
from peers.tls import Variant, server_context

if TYPE_CHECKING:
    import socket

    from peers.mqtt_packet import Connect, Publish


@dataclass(kw_only=True)
class MqttPeer:
    """A context manager around a scripted broker; its options may change while it runs."""

    #: Protocol versions that are served: 4 is MQTT 3.1.1.
    versions: frozenset[int] = frozenset({4, 5})
    #: How another version is refused: CONNACK 0x84 (0x01 in 3.1.1), or the end of the connection.
    version_refusal: Literal["connack", "close"] = "connack"
    #: Reason code of MQTT 5 in every CONNACK; in 3.1.1 the nearest return code.
    connack_reason: int = 0
    no_connack: bool = False
    #: `black-hole` accepts the TCP connection and never answers the handshake.
    transport: Literal["tls", "plaintext", "black-hole"] = "tls"
    certificate: Variant = "ip-san"
    no_puback: bool = False
    #: Reason code per topic in MQTT 5; 3.1.1 denies in silence.
    puback_reasons: dict[str, int] = field(default_factory=dict)
    ack_delay_seconds: float = 0.0
    #: Advertised in MQTT 5, and checked.
    receive_maximum: int | None = None
    #: Advertised in MQTT 5, and enforced by closing the connection.
    maximum_packet_size: int | None = None
    #: Enforced by closing the connection, never advertised.
    packet_limit: int | None = None
    #: Every connection is closed, without an acknowledgement, at its n-th PUBLISH.
    disconnect_after: int | None = None

    connects: list[Connect] = field(default_factory=list, init=False)
    #: Every PUBLISH in the order of arrival, repetitions included.
    publishes: list[Publish] = field(default_factory=list, init=False)
    #: What the client was told to be done: QoS 0, or PUBACK with a reason below 0x80.
    acknowledged: list[Publish] = field(default_factory=list, init=False)
    #: What the client did that the protocol or an advertised limit forbids.
    violations: list[str] = field(default_factory=list, init=False)
    pings: int = field(default=0, init=False)
    #: How often a client took its leave with DISCONNECT.
    farewells: int = field(default=0, init=False)
    #: The largest number of unacknowledged messages of one connection.
    most_in_flight: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Reserve a port, on which connections are refused until the peer is entered."""
        self._reading = threading.Event()
        self._reading.set()
        self._listener = Listener(self._serve)
        self.port = self._listener.port

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted, whatever became of them."""
        return self._listener.accepted

    @property
    def stopping(self) -> threading.Event:
        """Set while the peer is not running."""
        return self._listener.stopping

    @property
    def payloads(self) -> list[bytes]:
        """The payloads that the client may hold for delivered, repetitions included."""
        return [message.payload for message in self.acknowledged]

    def kill(self) -> None:
        """End as a killed process ends: the port refuses, every connection is gone."""
        self._listener.stop()

    def restart(self) -> None:
        """Serve the same port again after `kill`."""
        self._listener.start()

    def drop_connections(self) -> None:
        """Close every connection and go on listening."""
        self._listener.drop_connections()

    def stop_reading(self) -> None:
        """Read, answer and accept nothing more, like a process after SIGSTOP."""
        self._reading.clear()

    def resume(self) -> None:
        """Go on where `stop_reading` stopped."""
        self._reading.set()

    def wait_while_stopped(self) -> bool:
        """Return once reading is allowed; False when the peer ends instead."""
        while not self._reading.wait(0.05):
            if self.stopping.is_set():
                return False
        return not self.stopping.is_set()

    def _serve(self, accepted: socket.socket) -> None:
        if not self.wait_while_stopped():
            return
        if self.transport == "black-hole":
            self.stopping.wait()
        elif self.transport == "plaintext":
            MqttConnection(self, accepted).serve()
        else:
            context = server_context(self.certificate)
            with context.wrap_socket(accepted, server_side=True) as sock:
                MqttConnection(self, sock).serve()
