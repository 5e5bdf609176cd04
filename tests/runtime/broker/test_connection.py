"""Tests of a connection to the broker: what leads to it, what prevents it, what it carries."""

from __future__ import annotations

import select
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import pytest
from peers.mqtt_packet import V3, V5
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, PATIENCE
from peers.task_process import closed_port, poll
from peers.tls import certificate_pem

from epm_task.errors import BrokerRefused, UnsafeBroker
from epm_task.runtime.agent.tls import CONNECT_SECONDS, client_context
from epm_task.runtime.broker.connection import (
    BrokerAddress,
    ConnectionLost,
    MqttConnection,
    VersionRefused,
    reason_text,
)
from epm_task.runtime.log.outbox import Message

if TYPE_CHECKING:
    from pathlib import Path

    from peers.tls import Variant

    from epm_task.runtime.broker.packet import Received


def _address(port: int, ca_file: Path | None = None) -> BrokerAddress:
    return BrokerAddress("127.0.0.1", port, "key-scanner_7f", client_context(ca_file))


@pytest.mark.parametrize(("mqtt5", "version"), [(True, V5), (False, V3)])
def test_connect_says_who_we_are(*, mqtt5: bool, version: int) -> None:
    """Client id, clean start, keep-alive and version stand in the CONNECT."""
    with MqttPeer() as peer, closing(MqttConnection(_address(peer.port), mqtt5=mqtt5)):
        (connect,) = peer.connects
    assert (connect.client_id, connect.version) == ("key-scanner_7f", version)
    assert (connect.clean_start, connect.keep_alive_seconds) == (True, 15)


def test_limits_of_the_broker_are_read() -> None:
    """Receive maximum and packet size of the CONNACK count, up to our own window."""
    with MqttPeer(receive_maximum=5, maximum_packet_size=1000) as peer:
        with closing(MqttConnection(_address(peer.port), mqtt5=True)) as connection:
            assert (connection.window, connection.max_packet_bytes) == (5, 1000)
        peer.receive_maximum, peer.maximum_packet_size = 60_000, None
        with closing(MqttConnection(_address(peer.port), mqtt5=True)) as connection:
            assert (connection.window, connection.max_packet_bytes) == (100, None)


def test_keep_alive_of_the_broker_is_obeyed() -> None:
    """MQTT 5 lets the broker say how often it wants to hear from us."""
    with MqttPeer(server_keep_alive=7) as peer:
        with closing(MqttConnection(_address(peer.port), mqtt5=True)) as connection:
            assert connection.keep_alive_seconds == 7
        peer.server_keep_alive = None
        with closing(MqttConnection(_address(peer.port), mqtt5=True)) as connection:
            assert connection.keep_alive_seconds == 15


def test_broker_that_acknowledges_nothing_is_refused() -> None:
    """At QoS 0 nobody would know what has arrived."""
    with (
        MqttPeer(maximum_qos=0) as peer,
        pytest.raises(BrokerRefused, match="QoS 0 only"),
    ):
        MqttConnection(_address(peer.port), mqtt5=True)
    with MqttPeer(maximum_qos=1) as peer:
        MqttConnection(_address(peer.port), mqtt5=True).close()


@pytest.mark.parametrize(
    ("mqtt5", "code", "reason"),
    [
        (True, 0x87, "Not authorized"),
        (True, 0x85, "Client identifier not valid"),
        (True, 0x8A, "Banned"),
        (False, 0x87, "Not authorized"),
    ],
)
def test_refused_client_is_told_why(*, mqtt5: bool, code: int, reason: str) -> None:
    """A refusal names the broker's reason and the client id."""
    with (
        MqttPeer(connack_reason=code) as peer,
        pytest.raises(BrokerRefused, match=f"'key-scanner_7f': {reason}"),
    ):
        MqttConnection(_address(peer.port), mqtt5=mqtt5)


@pytest.mark.parametrize("how", ["connack", "close"])
def test_other_version_is_told_from_a_refusal(how: Literal["connack", "close"]) -> None:
    """A broker of 3.1.1 refuses MQTT 5 with a code, or by hanging up."""
    with MqttPeer(versions=frozenset({V3}), version_refusal=how) as peer:
        with pytest.raises(VersionRefused):
            MqttConnection(_address(peer.port), mqtt5=True)
        MqttConnection(_address(peer.port), mqtt5=False).close()


def test_busy_broker_is_waited_for_on_one_connection() -> None:
    """A handshake and a CONNACK that take longer than a connect may are no reason to hang up."""
    slowly = MqttPeer(hesitation_seconds=CONNECT_SECONDS + 0.5)
    with slowly as peer, closing(MqttConnection(_address(peer.port), mqtt5=True, seconds=PATIENCE)):
        assert (peer.connections, len(peer.connects)) == (1, 1)


@pytest.mark.parametrize("silent", [{"transport": "black-hole"}, {"no_connack": True}])
def test_missing_answer_is_bounded(silent: dict[str, Any]) -> None:
    """A port that accepts and says nothing, in TLS or in MQTT, costs the seconds given."""
    with MqttPeer(**silent) as peer:
        start = time.monotonic()
        with pytest.raises(ConnectionLost, match=r"timed out|no CONNACK in time"):
            MqttConnection(_address(peer.port), mqtt5=True, seconds=0.5)
        assert 0.5 <= time.monotonic() - start < 0.5 + BUSY


def test_handshake_and_connack_share_their_time() -> None:
    """A handshake that took most of it leaves the rest for the CONNACK, and no more."""
    with MqttPeer(hesitation_seconds=0.8) as peer, pytest.raises(ConnectionLost):
        MqttConnection(_address(peer.port), mqtt5=True, seconds=1.2)


def test_clear_text_broker_is_no_broker() -> None:
    """A broker without TLS gets no CONNECT."""
    with MqttPeer(transport="plaintext") as peer, pytest.raises(ConnectionLost):
        MqttConnection(_address(peer.port), mqtt5=True)
    assert peer.connects == []


def test_closed_port_is_a_lost_connection() -> None:
    """A broker that is not there yet may come."""
    with pytest.raises(ConnectionLost, match="Connection refused"):
        MqttConnection(_address(closed_port()), mqtt5=True)


@pytest.mark.parametrize(
    ("certificate", "why"),
    [("wrong-name", "IP address mismatch"), ("expired", "certificate has expired")],
)
def test_wrong_certificate_is_unsafe(tmp_path: Path, certificate: Variant, why: str) -> None:
    """With a CA file a certificate that does not fit gets no CONNECT."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(certificate_pem(certificate))
    with MqttPeer(certificate=certificate) as peer, pytest.raises(UnsafeBroker, match=why):
        MqttConnection(_address(peer.port, ca_file), mqtt5=True)
    assert peer.connects == []


def test_right_certificate_is_accepted(tmp_path: Path) -> None:
    """With the CA of the broker the connection is made."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(certificate_pem())
    with MqttPeer() as peer:
        MqttConnection(_address(peer.port, ca_file), mqtt5=True).close()
    assert len(peer.connects) == 1


@pytest.mark.parametrize(
    ("code", "disconnect", "text"),
    [
        (0x87, False, "0x87 Not authorized"),
        (0x8E, True, "0x8e Session taken over"),
        (0x95, True, "0x95 Packet too large"),
        (0xEE, False, "0xee unknown reason"),
    ],
)
def test_reason_code_has_words(*, code: int, disconnect: bool, text: str) -> None:
    """A reason code is shown with the specification's words."""
    assert reason_text(code, disconnect=disconnect) == text


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
        assert connection.fileno() == -1
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
        until = time.monotonic() + PATIENCE
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
