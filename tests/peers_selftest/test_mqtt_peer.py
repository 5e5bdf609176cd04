"""The scripted broker does what its options are named after."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
import pytest
from peers.mqtt_client import RawClient, connected, tls_context
from peers.mqtt_packet import V3, V5, Kind, Publish
from peers.mqtt_peer import MqttPeer
from peers.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable


def _wait(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5])
def test_a_real_client_is_served(protocol: int) -> None:
    """Paho connects, publishes with QoS 0 and 1 in order, pings, and takes its leave."""
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, client_id="key-scanner_7", protocol=protocol
    )
    client.tls_set_context(tls_context())
    client.tls_insecure_set(value=True)
    with MqttPeer() as peer:
        client.connect("127.0.0.1", peer.port, keepalive=1)
        client.loop_start()
        sent = [client.publish("KeeperLogger", b"%d" % n, qos=n % 2) for n in range(50)]
        sent[-1].wait_for_publish(5)
        _wait(lambda: peer.pings > 0)
        client.disconnect()
        client.loop_stop()
        _wait(lambda: peer.farewells == 1)
    assert [int(payload) for payload in peer.payloads if int(payload) % 2] == list(range(1, 50, 2))
    assert len(peer.publishes) == 50
    (connect,) = peer.connects
    assert (connect.client_id, connect.version) == ("key-scanner_7", protocol)
    assert (connect.keep_alive_seconds, connect.clean_start) == (1, True)
    assert peer.violations == []


def test_every_publish_is_kept() -> None:
    """Topic, payload, QoS, packet id and the number of the connection are recorded."""
    with MqttPeer() as peer, connected(peer.port) as client:
        client.connect()
        client.publish(7, b"x" * 300, b"a/b")
        assert client.read() == (Kind.PUBACK, 0, b"\0\7", 4)
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
        with connected(peer.port, version) as client:
            found = client.connect()
            assert found
            assert (found.kind, found.body) == (Kind.CONNACK, answer)
            assert client.read() is None
        peer.version_refusal = "close"
        with connected(peer.port, version) as client:
            assert client.connect() is None
    assert peer.connections == 2


@pytest.mark.parametrize(("version", "answer"), [(V5, b"\0\x87\0"), (V3, b"\0\5")])
def test_connection_is_refused_with_a_reason(version: int, answer: bytes) -> None:
    """0x87 in MQTT 5 is return code 5 in 3.1.1."""
    with MqttPeer(connack_reason=0x87) as peer, connected(peer.port, version) as client:
        found = client.connect()
        assert found
        assert found.body == answer


def test_connack_may_be_absent() -> None:
    """The CONNECT is read and never answered."""
    with MqttPeer(no_connack=True) as peer, connected(peer.port) as client:
        with pytest.raises(TimeoutError):
            client.connect(seconds=0.1)
        _wait(lambda: len(peer.connects) == 1)


def test_black_hole_and_plaintext() -> None:
    """No handshake at all; and a broker without TLS, which a plain client can use."""
    with (
        MqttPeer(transport="black-hole") as peer,
        socket.create_connection(("127.0.0.1", peer.port), 0.1) as tcp,
        pytest.raises(TimeoutError),
    ):
        tls_context().wrap_socket(tcp)
    with MqttPeer(transport="plaintext") as peer:
        with socket.create_connection(("127.0.0.1", peer.port), 5) as tcp:
            assert RawClient(tcp, V3).connect()
        with pytest.raises(OSError, match=r"SSL|reset|closed"), connected(peer.port):
            pass
    assert peer.violations == ["a malformed packet"]


def test_puback_may_be_absent_late_or_negative() -> None:
    """Each way to acknowledge: a reason per topic, a delay, not at all."""
    with MqttPeer(puback_reasons={"denied": 0x87}) as peer, connected(peer.port) as client:
        client.connect()
        client.publish(1, topic=b"denied")
        assert client.read() == (Kind.PUBACK, 0, b"\0\1\x87\0", 6)
        assert peer.acknowledged == []
        peer.ack_delay_seconds = 0.05
        start = time.monotonic()
        client.publish(2)
        assert client.read() == (Kind.PUBACK, 0, b"\0\2", 4)
        assert time.monotonic() - start >= 0.05
        peer.no_puback = True
        client.publish(3)
        with pytest.raises(TimeoutError):
            client.read(0.1)
    assert len(peer.publishes) == 3


def test_limits_are_advertised_and_checked() -> None:
    """ReceiveMaximum and MaximumPacketSize stand in the CONNACK; who ignores them is told."""
    with MqttPeer(receive_maximum=2, maximum_packet_size=200, no_puback=True) as peer:
        with connected(peer.port) as client:
            found = client.connect()
            assert found
            assert found.body == b"\0\0\x08\x21\0\2\x27\0\0\0\xc8"
            for number in (1, 2, 3):
                client.publish(number)
            assert client.read() == (Kind.DISCONNECT, 0, b"\x93\0", 4)
        with connected(peer.port) as client:
            client.connect()
            client.publish(1, b"x" * 300)
            assert client.read() == (Kind.DISCONNECT, 0, b"\x95\0", 4)
    assert peer.violations == ["more than 2 messages in flight", "a packet of more than 200 bytes"]
    assert peer.most_in_flight == 3


def test_silent_packet_limit_closes() -> None:
    """A limit that is not advertised only ends the connection, which is no violation."""
    with MqttPeer(packet_limit=100) as peer, connected(peer.port) as client:
        client.connect()
        client.publish(1, b"x" * 300)
        assert client.read() is None
    assert (peer.violations, peer.publishes) == ([], [])


@pytest.mark.parametrize(
    ("first", "body", "violation"),
    [
        (0x34, b"\0\1t\0\1\0", "QoS 2 is not served"),
        (0xA0, b"\0\1", "packet kind 10 is not served"),
    ],
)
def test_what_is_not_served_is_a_violation(first: int, body: bytes, violation: str) -> None:
    """An unexpected packet is noted, never ignored."""
    with MqttPeer() as peer, connected(peer.port) as client:
        client.connect()
        client.send(first, body)
        assert client.read() == (Kind.DISCONNECT, 0, b"\x82\0", 4)
    assert peer.violations == [violation]


def test_packet_before_connect_and_reused_id_are_violations() -> None:
    """The first packet must be CONNECT, and a packet id in flight is taken."""
    with MqttPeer(no_puback=True) as peer:
        with connected(peer.port) as client:
            client.publish(1)
            assert client.read() is None
        with connected(peer.port) as client:
            client.connect()
            client.publish(1)
            client.publish(1)
            assert client.read() == (Kind.DISCONNECT, 0, b"\x82\0", 4)
    assert peer.violations == ["the first packet is no CONNECT", "packet id 1 is used twice"]


def test_subscribe_is_granted() -> None:
    """A client that subscribes is not disturbed."""
    with MqttPeer() as peer, connected(peer.port) as client:
        client.connect()
        client.send(0x82, b"\0\5\0\0\1t\1")
        assert client.read() == (Kind.SUBACK, 0, b"\0\5\0\1", 6)


def test_connection_ends_after_n_messages() -> None:
    """The n-th message of a connection is recorded and not acknowledged."""
    with MqttPeer(disconnect_after=2) as peer:
        for _ in range(2):
            with connected(peer.port) as client:
                client.connect()
                client.publish(1)
                assert client.read() == (Kind.PUBACK, 0, b"\0\1", 4)
                client.publish(2)
                assert client.read() is None
    assert [message.connection for message in peer.publishes] == [1, 1, 2, 2]
    assert len(peer.acknowledged) == 2
