"""An MQTT connection is made, refused, used and closed in bounded time."""

from __future__ import annotations

import select
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from peers.mqtt_peer import MqttPeer
from peers.task_process import poll

from epm_task.runtime.mqtt_connection import MqttConnection
from epm_task.runtime.mqtt_handshake import (
    BrokerAddress,
    ConnectionLost,
)
from epm_task.runtime.outbox import Message
from epm_task.runtime.tls import client_context

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.runtime.mqtt_packet import Received


def _address(port: int, ca_file: Path | None = None) -> BrokerAddress:
    return BrokerAddress("127.0.0.1", port, "key-scanner_7f", client_context(ca_file))


def _read(connection: MqttConnection) -> Received:
    assert select.select([connection], [], [], 5)[0]
    received = connection.read()
    assert received is not None
    return received


def _cannot_write(connection: MqttConnection) -> bool:
    try:
        connection.write(b"\xc0\0")
    except ConnectionLost:
        return True
    return False


@pytest.mark.parametrize("mqtt5", [True, False])
def test_message_is_acknowledged(*, mqtt5: bool) -> None:
    """A publication at QoS 1 comes back as its packet id, and arrives as it was."""
    with MqttPeer() as peer:
        with closing(MqttConnection(_address(peer.port), mqtt5=mqtt5)) as connection:
            connection.publish([(7, Message("a/é", b'{"a":1}\n')), (8, Message("b", b""))])
            settled = _read(connection).settled
            while len(settled) < 2:
                settled += _read(connection).settled
            connection.close(politely=True)
        poll(lambda: peer.farewells == 1)
    assert settled == [7, 8]
    first, second = peer.publishes
    assert (first.topic, first.payload, first.qos, first.packet_id) == ("a/é", b'{"a":1}\n', 1, 7)
    assert not first.retain
    assert (second.topic, second.payload) == ("b", b"")
    assert peer.violations == []


def test_nothing_to_read_is_none() -> None:
    """Reading never blocks."""
    with MqttPeer() as peer, closing(MqttConnection(_address(peer.port), mqtt5=True)) as connection:
        assert connection.read() is None
        assert not connection.wants_to_write


def test_large_message_waits_for_the_socket() -> None:
    """What the broker does not take at once is kept, and goes out later."""
    with (
        MqttPeer(maximum_packet_size=None) as peer,
        closing(MqttConnection(_address(peer.port), mqtt5=True)) as connection,
    ):
        peer.stop_reading()
        connection.publish([(1, Message("t", b"x" * 20_000_000))])
        assert connection.wants_to_write
        peer.resume()
        until = time.monotonic() + 20
        while connection.wants_to_write and time.monotonic() < until:
            select.select([], [connection], [], 1)
            connection.write()
        assert _read(connection).settled == [1]
    assert len(peer.publishes[0].payload) == 20_000_000


def test_end_of_the_connection_is_noticed() -> None:
    """A killed broker is seen when reading, and when writing at the latest."""
    with MqttPeer() as peer, closing(MqttConnection(_address(peer.port), mqtt5=True)) as connection:
        peer.kill()
        with pytest.raises(ConnectionLost):
            _read(connection)
        poll(lambda: _cannot_write(connection))
        connection.close(politely=True)


def test_refusal_of_a_message_comes_with_its_code() -> None:
    """MQTT 5 tells that a topic is denied."""
    with (
        MqttPeer(puback_reasons={"t": 0x87}) as peer,
        closing(MqttConnection(_address(peer.port), mqtt5=True)) as connection,
    ):
        connection.publish([(3, Message("t", b"{}"))])
        assert _read(connection).refused == [(3, 0x87)]


def test_bytes_that_are_no_mqtt_end_the_connection() -> None:
    """A packet length of five bytes is no MQTT."""
    with MqttPeer() as peer, closing(MqttConnection(_address(peer.port), mqtt5=True)) as connection:
        connection._incoming += b"\x40\xff\xff\xff\xff"
        connection.write(b"\xc0\0")
        with pytest.raises(ConnectionLost, match="length"):
            _read(connection)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs many descriptors")
def test_descriptor_above_1023_works() -> None:
    """`select()` refuses such descriptors; the connection does not use it."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("the system does not allow 1200 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    taken = [socket.socket() for _ in range(1050)]
    try:
        with (
            MqttPeer() as peer,
            closing(MqttConnection(_address(peer.port), mqtt5=True)) as connection,
        ):
            assert connection.fileno() > 1023
    finally:
        for sock in taken:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
