"""An MQTT connection is the peer's side of one client, which it answers by the script."""

from __future__ import annotations

import struct
import time
from collections import deque
from typing import TYPE_CHECKING

from peers import mqtt_packet
from peers.mqtt_packet import V5, Kind, Packet, Publish

if TYPE_CHECKING:
    import socket

    from peers.mqtt_peer import MqttPeer

#: MQTT 5 reason codes and the return codes of 3.1.1 that mean the same; 3 is "server unavailable".
_RETURN_CODES = {0x00: 0, 0x84: 1, 0x85: 2, 0x86: 4, 0x87: 5}
_UNSUPPORTED_VERSION = 0x84
_MALFORMED = 0x81
_PROTOCOL_ERROR, _PACKET_TOO_LARGE, _RECEIVE_MAXIMUM_EXCEEDED = 0x82, 0x95, 0x93
_FIRST_ERROR = 0x80
_TOP_QOS = 1


class Closed(Exception):
    """The peer ends the connection."""


class MqttConnection:
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
        except Closed:
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
        while packet := mqtt_packet.split(self._data):
            try:
                self._handle(packet)
            except (struct.error, IndexError, UnicodeDecodeError):
                self._refuse("a malformed packet", _MALFORMED)
        return True

    def _handle(self, packet: Packet) -> None:
        self._check_size(packet)
        if not self._version and packet.kind != Kind.CONNECT:
            self._refuse("the first packet is no CONNECT", _PROTOCOL_ERROR)
        match packet.kind:
            case Kind.CONNECT:
                self._connect(packet)
            case Kind.PUBLISH:
                self._publish(packet)
            case Kind.SUBSCRIBE:
                self._send(mqtt_packet.suback(self._version, packet.body))
            case Kind.PINGREQ:
                self._peer.pings += 1
                self._send(mqtt_packet.pingresp())
            case Kind.DISCONNECT:
                self._peer.farewells += 1
                raise Closed
            case _:
                self._refuse(f"packet kind {packet.kind} is not served", _PROTOCOL_ERROR)

    def _connect(self, packet: Packet) -> None:
        peer = self._peer
        connect = mqtt_packet.parse_connect(packet.body)
        peer.connects.append(connect)
        self._number, version = len(peer.connects), connect.version
        if peer.no_connack:
            self._version = version
            return
        reason = peer.connack_reason
        if version not in peer.versions:
            if peer.version_refusal == "close":
                raise Closed
            reason = _UNSUPPORTED_VERSION
        limits = {"receive_maximum": peer.receive_maximum}
        limits["maximum_packet_size"] = peer.maximum_packet_size
        code = reason if version == V5 else _RETURN_CODES.get(reason, 3)
        self._send(mqtt_packet.connack(version, code, **({} if reason else limits)))
        if reason:
            raise Closed
        self._version = version

    def _publish(self, packet: Packet) -> None:
        peer = self._peer
        message = mqtt_packet.parse_publish(packet, self._version, self._number)
        peer.publishes.append(message)
        self._received += 1
        if peer.disconnect_after is not None and self._received >= peer.disconnect_after:
            raise Closed
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
            answers.append(mqtt_packet.puback(self._version, message.packet_id, reason))
            if reason < _FIRST_ERROR:
                self._peer.acknowledged.append(message)
        if answers:
            self._send(b"".join(answers))

    def _check_size(self, packet: Packet) -> None:
        peer = self._peer
        if peer.packet_limit is not None and packet.size > peer.packet_limit:
            raise Closed
        limit = peer.maximum_packet_size
        if self._version == V5 and limit is not None and packet.size > limit:
            self._refuse(f"a packet of more than {limit} bytes", _PACKET_TOO_LARGE)

    def _refuse(self, violation: str, reason: int) -> None:
        self._peer.violations.append(violation)
        if self._version == V5:
            self._send(mqtt_packet.disconnect(reason))
        raise Closed

    def _send(self, data: bytes) -> None:
        self._sock.settimeout(None)
        self._sock.sendall(data)
