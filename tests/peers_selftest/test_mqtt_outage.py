"""The scripted broker can be killed, restarted, and stopped like a process."""

from __future__ import annotations

import socket
import time

import pytest
from peers.mqtt_client import connected
from peers.mqtt_packet import Kind
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY


def test_killed_peer_comes_back_on_its_port() -> None:
    """Connections end, the port refuses, and after the restart it serves again."""
    with MqttPeer() as peer:
        with connected(peer.port) as client:
            client.connect()
            peer.kill()
            assert client.read() is None
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", peer.port), 1)
        peer.restart()
        with connected(peer.port) as client:
            assert client.connect("job_2")
            peer.drop_connections()
            assert client.read() is None
    assert [connect.client_id for connect in peer.connects] == ["job_1", "job_2"]


def test_stopped_peer_goes_on_where_it_was() -> None:
    """While stopped nothing is read or answered; afterwards nothing is missing."""
    with MqttPeer() as peer, connected(peer.port) as client:
        client.connect()
        peer.stop_reading()
        client.publish(1)
        with pytest.raises(TimeoutError):
            client.read(0.1)
        assert peer.publishes == []
        peer.resume()
        assert client.read() == (Kind.PUBACK, 0, b"\0\1", 4)


def test_stopped_peer_can_be_killed() -> None:
    """A stopped peer ends at once, with a client connected and one in the handshake."""
    start = time.monotonic()
    with MqttPeer() as peer, connected(peer.port) as client:
        client.connect()
        peer.stop_reading()
        client.publish(1)
        with socket.create_connection(("127.0.0.1", peer.port), 5):
            peer.kill()
    assert time.monotonic() - start < BUSY
    assert peer.publishes == []
