"""A broker for tests that works by a script, and keeps what its clients sent."""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from peers.listener import Listener
from peers.mqtt_packet import (
    V5,
    Connect,
    Kind,
    Packet,
    Publish,
    connack,
    disconnect,
    packet,
    parse_connect,
    parse_publish,
    reply,
    split,
)
from peers.tls import Variant, server_context

if TYPE_CHECKING:
    import socket

#: MQTT 5 reason codes and the return codes of 3.1.1 that mean the same; 3 is "server unavailable".
_RETURN_CODES = {0x00: 0, 0x84: 1, 0x85: 2, 0x86: 4, 0x87: 5}
_UNSUPPORTED_VERSION = 0x84
_MALFORMED = 0x81
_PROTOCOL_ERROR, _PACKET_TOO_LARGE, _RECEIVE_MAXIMUM_EXCEEDED = 0x82, 0x95, 0x93
_FIRST_ERROR = 0x80
_TOP_QOS = 1


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
    #: Passes before the TLS handshake, and again before the CONNACK.
    hesitation_seconds: float = 0.0
    no_puback: bool = False
    #: Reason code per topic in MQTT 5; 3.1.1 denies in silence.
    puback_reasons: dict[str, int] = field(default_factory=dict)
    ack_delay_seconds: float = 0.0
    #: Advertised in MQTT 5, and checked.
    receive_maximum: int | None = None
    #: Advertised in MQTT 5, and enforced by closing the connection.
    maximum_packet_size: int | None = None
    #: Advertised in MQTT 5, and not enforced.
    maximum_qos: int | None = None
    server_keep_alive: int | None = None
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
            _Connection(self, accepted).serve()
        else:
            if self.stopping.wait(self.hesitation_seconds):
                return
            context = server_context(self.certificate)
            with context.wrap_socket(accepted, server_side=True) as sock:
                _Connection(self, sock).serve()


class _Closed(Exception):
    """The peer ends the connection."""


class _Connection:
    """One client, from CONNECT to the end."""

    def __init__(self, peer: MqttPeer, sock: socket.socket) -> None:
        """Take the peer, which holds the options and the memory, and a connected socket."""
        self._peer = peer
        self._sock = sock
        self._data = bytearray()
        self._version = 0
        self._number = 0
        self._received = 0
        #: Messages that wait for their PUBACK, with the time at which it is due.
        self._due: deque[tuple[float, Publish]] = deque()
        self._in_flight: set[int] = set()

    def serve(self) -> None:
        """Answer until the client leaves, the peer ends, or the script closes."""
        try:
            while self._peer.wait_while_stopped():
                if not self._receive():
                    return
                self._acknowledge_due()
        except _Closed:
            return

    def _receive(self) -> bool:
        self._sock.settimeout(
            max(0.0005, self._due[0][0] - time.monotonic()) if self._due else None
        )
        try:
            data = self._sock.recv(65_536)
        except TimeoutError:
            return self._peer.wait_while_stopped()
        # What came in while we were stopped is not looked at before we go on.
        if not data or not self._peer.wait_while_stopped():
            return False
        self._data += data
        while found := split(self._data):
            try:
                self._handle(found)
            except (struct.error, IndexError, UnicodeDecodeError):
                self._refuse("a malformed packet", _MALFORMED)
        return True

    def _handle(self, found: Packet) -> None:
        self._check_size(found)
        if not self._version and found.kind != Kind.CONNECT:
            self._refuse("the first packet is not a CONNECT", _PROTOCOL_ERROR)
        match found.kind:
            case Kind.CONNECT:
                self._connect(found)
            case Kind.PUBLISH:
                self._publish(found)
            case Kind.SUBSCRIBE:
                # QoS 1 is granted to the one filter.
                properties = b"\0" if self._version == V5 else b""
                self._send(packet(Kind.SUBACK << 4, found.body[:2], properties, b"\1"))
            case Kind.PINGREQ:
                self._peer.pings += 1
                self._send(packet(Kind.PINGRESP << 4))
            case Kind.DISCONNECT:
                self._peer.farewells += 1
                raise _Closed
            case _:
                self._refuse(f"packet kind {found.kind} is not served", _PROTOCOL_ERROR)

    def _connect(self, found: Packet) -> None:
        peer = self._peer
        asked = parse_connect(found.body)
        peer.connects.append(asked)
        self._number, version = len(peer.connects), asked.version
        if peer.no_connack:
            self._version = version
            return
        reason = peer.connack_reason
        if version not in peer.versions:
            if peer.version_refusal == "close":
                raise _Closed
            reason = _UNSUPPORTED_VERSION
        if peer.stopping.wait(peer.hesitation_seconds):
            raise _Closed
        limits = {
            "receive_maximum": peer.receive_maximum,
            "maximum_packet_size": peer.maximum_packet_size,
            "maximum_qos": peer.maximum_qos,
            "server_keep_alive": peer.server_keep_alive,
        }
        code = reason if version == V5 else _RETURN_CODES.get(reason, 3)
        self._send(connack(version, code, **({} if reason else limits)))
        if reason:
            raise _Closed
        self._version = version

    def _publish(self, found: Packet) -> None:
        peer = self._peer
        message = parse_publish(found, self._version, self._number)
        peer.publishes.append(message)
        self._received += 1
        if peer.disconnect_after is not None and self._received >= peer.disconnect_after:
            raise _Closed
        if message.qos == 0:
            peer.acknowledged.append(message)
            return
        if message.qos > _TOP_QOS:
            self._refuse("QoS 2 is not served", _PROTOCOL_ERROR)
        self._count_in_flight(message)
        if not peer.no_puback:
            self._due.append((time.monotonic() + peer.ack_delay_seconds, message))

    def _count_in_flight(self, message: Publish) -> None:
        peer = self._peer
        if message.packet_id in self._in_flight:
            self._refuse(f"packet id {message.packet_id} is used twice", _PROTOCOL_ERROR)
        self._in_flight.add(message.packet_id)
        peer.most_in_flight = max(peer.most_in_flight, len(self._in_flight))
        limit = peer.receive_maximum
        if self._version == V5 and limit is not None and len(self._in_flight) > limit:
            self._refuse(f"more than {limit} messages in flight", _RECEIVE_MAXIMUM_EXCEEDED)

    def _acknowledge_due(self) -> None:
        answers = []
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, message = self._due.popleft()
            self._in_flight.discard(message.packet_id)
            reason = self._peer.puback_reasons.get(message.topic, 0)
            rest = (reason, 0) if self._version == V5 and reason else ()
            answers.append(reply(Kind.PUBACK, message.packet_id, *rest))
            if reason < _FIRST_ERROR:
                self._peer.acknowledged.append(message)
        if answers:
            self._send(b"".join(answers))

    def _check_size(self, found: Packet) -> None:
        peer = self._peer
        if peer.packet_limit is not None and found.size > peer.packet_limit:
            raise _Closed
        limit = peer.maximum_packet_size
        if self._version == V5 and limit is not None and found.size > limit:
            self._refuse(f"a packet of more than {limit} bytes", _PACKET_TOO_LARGE)

    def _refuse(self, violation: str, reason: int) -> None:
        self._peer.violations.append(violation)
        if self._version == V5:
            self._send(disconnect(reason))
        raise _Closed

    def _send(self, data: bytes) -> None:
        self._sock.settimeout(None)
        self._sock.sendall(data)
