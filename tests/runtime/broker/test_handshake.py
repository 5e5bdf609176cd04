"""Tests of the MQTT handshake: what leads to a connection, and what stands in its way."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from peers.mqtt_packet import V3, V5
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY
from peers.task_process import closed_port
from peers.tls import certificate_pem

from epm_task.errors import BrokerRefused, UnsafeBroker
from epm_task.runtime.broker.handshake import (
    CONNACK_SECONDS,
    CONNECT_SECONDS,
    BrokerAddress,
    ConnectionLost,
    VersionRefused,
    reason_text,
)
from epm_task.runtime.broker.packet import MqttConnection
from epm_task.runtime.tls import client_context

if TYPE_CHECKING:
    from pathlib import Path

    from peers.tls import Variant


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
def test_other_version_is_told_from_a_refusal(how: str) -> None:
    """A broker of 3.1.1 refuses MQTT 5 with a code, or by hanging up."""
    with MqttPeer(versions=frozenset({V3}), version_refusal=how) as peer:
        with pytest.raises(VersionRefused):
            MqttConnection(_address(peer.port), mqtt5=True)
        MqttConnection(_address(peer.port), mqtt5=False).close()


def test_missing_connack_is_bounded() -> None:
    """A broker that never answers CONNECT costs two seconds."""
    with MqttPeer(no_connack=True) as peer:
        start = time.monotonic()
        with pytest.raises(ConnectionLost, match="no CONNACK in 2 s"):
            MqttConnection(_address(peer.port), mqtt5=True)
        assert CONNACK_SECONDS <= time.monotonic() - start < CONNACK_SECONDS + BUSY


def test_missing_handshake_is_bounded() -> None:
    """A port that accepts and says nothing costs two seconds."""
    with MqttPeer(transport="black-hole") as peer:
        start = time.monotonic()
        with pytest.raises(ConnectionLost):
            MqttConnection(_address(peer.port), mqtt5=True)
        assert time.monotonic() - start < CONNECT_SECONDS + BUSY


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
