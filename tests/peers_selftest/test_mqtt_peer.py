"""The scripted broker does what its options are named after, and goes down like a process."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from peers.mqtt_client import RawClient, tls_context
from peers.mqtt_packet import V3, V5, Kind, Packet, Publish, connect, packet, publish, subscribe
from peers.mqtt_peer import MqttPeer
from peers.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable


def _wait(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _client(peer: MqttPeer, *, seconds: float = PATIENCE) -> RawClient:
    """Return a client of MQTT 5 with TLS that has not said anything yet."""
    return RawClient(peer.port, context=tls_context(), seconds=seconds)


def _connected(peer: MqttPeer, client_id: str = "job_1") -> RawClient:
    client = _client(peer)
    assert client.ask(connect(client_id, version=V5)).kind == Kind.CONNACK
    return client


def _message(packet_id: int, payload: bytes = b"{}", topic: str = "t") -> bytes:
    return publish(topic, payload, qos=1, packet_id=packet_id, version=V5)


def _acknowledged(packet_id: int) -> Packet:
    return Packet(Kind.PUBACK, 0, packet_id.to_bytes(2, "big"))


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_a_real_client_is_served(protocol: MQTTProtocolVersion) -> None:
    """Paho connects, publishes with QoS 0 and 1 in order, pings, and takes its leave."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "key-scanner_7", protocol=protocol)
    client.tls_set_context(tls_context())
    client.tls_insecure_set(value=True)
    with MqttPeer() as peer:
        client.connect("127.0.0.1", peer.port, keepalive=1)
        client.loop_start()
        sent = [client.publish("KeeperLogger", b"%d" % n, qos=n % 2) for n in range(50)]
        sent[-1].wait_for_publish(PATIENCE)
        _wait(lambda: peer.pings > 0)
        client.disconnect()
        client.loop_stop()
        _wait(lambda: peer.farewells == 1)
    assert [int(payload) for payload in peer.payloads if int(payload) % 2] == list(range(1, 50, 2))
    assert len(peer.publishes) == 50
    (found,) = peer.connects
    assert (found.client_id, found.version) == ("key-scanner_7", protocol)
    assert (found.keep_alive_seconds, found.clean_start) == (1, True)
    assert peer.violations == []


def test_every_publish_is_kept() -> None:
    """Topic, payload, QoS, packet id and the number of the connection are recorded."""
    with MqttPeer() as peer, _connected(peer) as client:
        assert client.ask(_message(7, b"x" * 300, "a/b")) == _acknowledged(7)
    assert peer.publishes == [
        Publish("a/b", b"x" * 300, 1, 7, duplicate=False, retain=False, connection=1)
    ]
    assert peer.acknowledged == peer.publishes


@pytest.mark.parametrize(
    ("version", "answer"), [(V5, b"\0\x84\0"), (V3, b"\0\x01")], ids=["5", "3.1.1"]
)
def test_other_version_is_refused(version: int, answer: bytes) -> None:
    """The refusal has the form of the version that was asked for; then the connection ends."""
    with MqttPeer(versions=frozenset({V3, V5} - {version})) as peer:
        with _client(peer) as client:
            assert client.ask(connect("c", version=version)) == Packet(Kind.CONNACK, 0, answer)
            assert client.closed()
        peer.version_refusal = "close"
        with _client(peer) as client:
            client.send(connect("c", version=version))
            assert client.closed()
    assert peer.connections == 2


@pytest.mark.parametrize(("version", "answer"), [(V5, b"\0\x87\0"), (V3, b"\0\5")])
def test_connection_is_refused_with_a_reason(version: int, answer: bytes) -> None:
    """0x87 in MQTT 5 is return code 5 in 3.1.1."""
    with MqttPeer(connack_reason=0x87) as peer, _client(peer) as client:
        assert client.ask(connect("c", version=version)).body == answer


def test_connack_may_be_absent() -> None:
    """The CONNECT is read and never answered."""
    with MqttPeer(no_connack=True) as peer, _client(peer) as client:
        client.send(connect("c", version=V5))
        _wait(lambda: len(peer.connects) == 1)
        client.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.read()


def test_black_hole_and_plaintext() -> None:
    """No handshake at all; and a broker without TLS, which a plain client can use."""
    with MqttPeer(transport="black-hole") as peer, pytest.raises(TimeoutError):
        _client(peer, seconds=0.1)
    with MqttPeer(transport="plaintext") as peer:
        with RawClient.connected(peer.port, "c"):
            pass
        with pytest.raises(OSError, match=r"SSL|reset|closed"):
            _client(peer)
    assert peer.violations == ["a malformed packet"]


def test_puback_may_be_absent_late_or_negative() -> None:
    """Each way to acknowledge: a reason per topic, a delay, not at all."""
    with MqttPeer(puback_reasons={"denied": 0x87}) as peer, _connected(peer) as client:
        answer = client.ask(_message(1, topic="denied"))
        assert answer == Packet(Kind.PUBACK, 0, b"\0\1\x87\0")
        assert peer.acknowledged == []
        peer.ack_delay_seconds = 0.05
        start = time.monotonic()
        assert client.ask(_message(2)) == _acknowledged(2)
        assert time.monotonic() - start >= 0.05
        peer.no_puback = True
        client.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.ask(_message(3))
    assert len(peer.publishes) == 3


def test_limits_are_advertised_and_checked() -> None:
    """ReceiveMaximum and MaximumPacketSize are in the CONNACK; who ignores them is told."""
    with MqttPeer(receive_maximum=2, maximum_packet_size=200, no_puback=True) as peer:
        with _client(peer) as client:
            found = client.ask(connect("c", version=V5))
            assert found.body == b"\0\0\x08\x21\0\2\x27\0\0\0\xc8"
            answer = client.ask(_message(1), _message(2), _message(3))
            assert answer == Packet(Kind.DISCONNECT, 0, b"\x93\0")
        with _connected(peer) as client:
            assert client.ask(_message(1, b"x" * 300)) == Packet(Kind.DISCONNECT, 0, b"\x95\0")
    assert peer.violations == ["more than 2 messages in flight", "a packet of more than 200 bytes"]
    assert peer.most_in_flight == 3


def test_silent_packet_limit_closes() -> None:
    """A limit that is not advertised only ends the connection; it is not violated."""
    with MqttPeer(packet_limit=100) as peer, _connected(peer) as client:
        client.send(_message(1, b"x" * 300))
        assert client.closed()
    assert (peer.violations, peer.publishes) == ([], [])


@pytest.mark.parametrize(
    ("data", "violation"),
    [
        (publish("t", qos=2, version=V5), "QoS 2 is not served"),
        (packet(0xA0, b"\0\1"), "packet kind 10 is not served"),
        (_message(1) * 2, "packet id 1 is used twice"),
    ],
)
def test_what_is_not_served_is_a_violation(data: bytes, violation: str) -> None:
    """An unexpected packet is noted, never ignored."""
    with MqttPeer(no_puback=True) as peer, _connected(peer) as client:
        assert client.ask(data) == Packet(Kind.DISCONNECT, 0, b"\x82\0")
    assert peer.violations == [violation]


def test_packet_before_connect_is_a_violation() -> None:
    """The first packet must be CONNECT."""
    with MqttPeer() as peer, _client(peer) as client:
        client.send(_message(1))
        assert client.closed()
    assert peer.violations == ["the first packet is not a CONNECT"]


def test_subscribe_is_granted() -> None:
    """A client that subscribes is not disturbed."""
    with MqttPeer() as peer, _connected(peer) as client:
        answer = client.ask(subscribe(("t", 1), packet_id=5, version=V5))
        assert answer == Packet(Kind.SUBACK, 0, b"\0\5\0\1")


def test_connection_ends_after_n_messages() -> None:
    """The n-th message of a connection is recorded and not acknowledged."""
    with MqttPeer(disconnect_after=2) as peer:
        for _ in range(2):
            with _connected(peer) as client:
                assert client.ask(_message(1)) == _acknowledged(1)
                client.send(_message(2))
                assert client.closed()
    assert [message.connection for message in peer.publishes] == [1, 1, 2, 2]
    assert len(peer.acknowledged) == 2


def test_killed_peer_comes_back_on_its_port() -> None:
    """Connections end, the port refuses, and after the restart it serves again."""
    with MqttPeer() as peer:
        with _connected(peer) as client:
            peer.kill()
            assert client.closed()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", peer.port), 1)
        peer.restart()
        with _connected(peer, "job_2") as client:
            peer.drop_connections()
            assert client.closed()
    assert [found.client_id for found in peer.connects] == ["job_1", "job_2"]


def test_stopped_peer_goes_on_where_it_was() -> None:
    """While stopped nothing is read or answered; afterwards nothing is missing."""
    with MqttPeer() as peer, _connected(peer) as client:
        peer.stop_reading()
        client.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.ask(_message(1))
        assert peer.publishes == []
        peer.resume()
        client.socket.settimeout(PATIENCE)
        assert client.read() == _acknowledged(1)


def test_stopped_peer_can_be_killed() -> None:
    """With a client connected and one in the handshake, it ends without reading."""
    with MqttPeer() as peer, _connected(peer) as client:
        peer.stop_reading()
        client.send(_message(1))
        with socket.create_connection(("127.0.0.1", peer.port), PATIENCE):
            peer.kill()
    assert peer.publishes == []
