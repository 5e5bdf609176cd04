"""The broker as a whole: ports, restart, drops."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from peers.mqtt_client import RawClient
from peers.mqtt_packet import Kind, connect, packet, publish, subscribe
from peers.tls import certificate_pem, server_context
from simulator.broker.broker_box import BrokerBox, Events, Rules, running_broker

from epm_task.simulator.broker import Broker, Limits, Reason
from epm_task.simulator.certificates import open_authority
from epm_task.simulator.certificates import server_context as agent_context
from epm_task.simulator.start_error import PortTaken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_taken_port_is_an_error() -> None:
    """The agent can say by whom."""

    async def start(port: int) -> None:
        await Broker(Rules(), Events(), ssl_context=None, port=port).start()

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortTaken, match="in use"):
        asyncio.run(start(taken.getsockname()[1]))


def test_a_restart_keeps_the_port_and_the_sessions(box: BrokerBox) -> None:
    """As a broker with a database does."""
    port = box.port
    with RawClient.connected(port, "c", clean=False) as client:
        client.ask(subscribe(("t", 1)))
        box.run(box.broker.go_down())
        box.run(box.broker.start())
        assert client.closed()
    assert box.port == port
    with RawClient(port) as client:
        assert client.ask(connect("c", clean=False)).body == b"\1\0"


def test_a_stopped_broker_has_lost_everything(box: BrokerBox) -> None:
    """Sessions and retained messages."""
    with RawClient.connected(box.port, "c", clean=False) as client:
        client.ask(publish("t", b"kept", retain=True, qos=1))
    box.run(box.broker.stop())
    box.run(box.broker.start())
    with RawClient(box.port) as client:
        assert client.ask(connect("c", clean=False)).body == b"\0\0"
        client.ask(subscribe(("t", 0)))
        assert client.silent()


def test_a_broker_that_is_down_refuses_connections(box: BrokerBox) -> None:
    """Until it is started again, on the same port."""
    box.run(box.broker.go_down())
    with pytest.raises(ConnectionRefusedError):
        RawClient(box.port)
    box.run(box.broker.start())
    with RawClient(box.port) as client:
        assert client.ask(connect("c")).kind == Kind.CONNACK


def test_going_down_breaks_every_connection(box: BrokerBox) -> None:
    """Also one that has not said anything yet."""
    with RawClient.connected(box.port, "a", version=5) as one, RawClient(box.port) as two:
        box.until(lambda: len(box.broker._state.connections) == 2)
        box.run(box.broker.go_down())
        assert one.closed()
        assert two.closed()


def test_two_brokers_live_side_by_side(box: BrokerBox) -> None:
    """Nothing is shared."""
    with running_broker() as other:
        with RawClient.connected(other.port, "c"), RawClient.connected(box.port, "c") as client:
            assert client.silent()
        assert len(other.rules.asked) == len(box.rules.asked) == 1


@pytest.fixture
def secure() -> Iterator[BrokerBox]:
    """A broker with TLS that waits 0.3 s."""
    options = {"ssl_context": server_context(), "limits": Limits(connect_seconds=0.3)}
    with running_broker(**options) as running:
        yield running


def _secure_client(port: int) -> RawClient:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate_pem())
    return RawClient(port, context=context)


def test_tls_comes_before_the_first_packet(secure: BrokerBox) -> None:
    """The certificate is verified by the client; no client certificate is asked for."""
    with _secure_client(secure.port) as client:
        assert client.ask(connect("c")).kind == Kind.CONNACK
        assert client.silent()
    assert secure.rules.asked[0][3] is None


def test_a_client_certificate_reaches_the_access_rules(tmp_path: Path) -> None:
    """As `getpeercert` gives it, verified by the agent's own CA."""
    authority, files = open_authority(tmp_path)
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.admin_cert, files.admin_key)
    with (
        running_broker(ssl_context=agent_context(authority)) as box,
        RawClient(box.port, context=context) as client,
    ):
        client.ask(connect("c"))
        certificate = box.rules.asked[0][3]
        assert certificate["subject"] == ((("commonName", "epm-task admin"),),)


def test_bytes_that_are_no_tls_close_the_connection(secure: BrokerBox) -> None:
    """The trace tells; the next client is served."""
    with RawClient(secure.port) as client:
        client.send(connect("c"))
        with suppress(ConnectionError):
            while client.socket.recv(100):
                pass
    secure.until(lambda: secure.events.having("no TLS"))
    with _secure_client(secure.port) as client:
        assert client.ask(connect("c")).kind == Kind.CONNACK


def test_a_handshake_that_does_not_come_is_ended(secure: BrokerBox) -> None:
    """In the time that a CONNECT has; nothing stays."""
    with RawClient(secure.port) as client:
        assert client.closed()
    with _secure_client(secure.port) as client:
        assert client.closed()
    secure.until(lambda: not secure.broker._state.connections)
    assert len(secure.events.having("a connection was closed")) == 2


def test_a_client_that_goes_away_during_the_handshake_is_forgotten(secure: BrokerBox) -> None:
    """Reset before the first byte, and after it."""
    for data in (b"", b"\x16\3\1"):
        with socket.create_connection(("127.0.0.1", secure.port)) as client:
            client.sendall(data)
    secure.until(lambda: len(secure.events.having("a connection was closed")) == 2)
    secure.until(lambda: not secure.broker._state.connections)


def test_a_broker_that_stops_says_goodbye() -> None:
    """0x8B to MQTT 5, the end of the connection to all, also to those half open."""
    box = BrokerBox(ssl_context=server_context())
    box.start()
    with _secure_client(box.port) as client, RawClient(box.port) as half_open:
        client.ask(connect("c", version=5))
        with _secure_client(box.port) as older:
            older.ask(connect("d"))
            box.stop()
            told = client.read()
            assert (told.kind, told.body[0]) == (Kind.DISCONNECT, Reason.SERVER_SHUTTING_DOWN)
            assert client.closed()
            assert older.closed()
            assert half_open.closed()
    with pytest.raises(ConnectionRefusedError):
        RawClient(box.port)


def test_a_large_message_passes_through_tls(secure: BrokerBox) -> None:
    """Many TLS records make one packet."""
    with _secure_client(secure.port) as client:
        client.ask(connect("c"))
        client.send(packet(0x30, b"\0\1t", b"x" * 900_000))
        assert client.silent()
    assert [len(message.payload) for message in secure.messages] == [900_000]
