"""The broker as a whole: ports, restart, drops."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from simulator.broker.broker_box import Events, Rules, running_broker
from simulator.broker.raw_client import CONNACK, RawClient, connect, publish, subscribe

from epm_task.simulator.broker import Broker

if TYPE_CHECKING:
    from simulator.broker.broker_box import BrokerBox


def test_a_taken_port_is_an_error() -> None:
    """The agent can say by whom."""

    async def start(port: int) -> None:
        await Broker(Rules(), Events(), ssl_context=None, port=port).start()

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        asyncio.run(start(taken.getsockname()[1]))


def test_a_restart_keeps_the_port_and_the_sessions(box: BrokerBox) -> None:
    """As a broker with a database does."""
    port = box.port
    with RawClient.connected(port, "c", clean=False) as client:
        client.ask(subscribe(("t", 1)))
        box.run(box.broker.restart())
        assert client.closed()
    assert box.port == port
    with RawClient(port) as client:
        assert client.ask(connect("c", clean=False)).body == b"\1\0"


def test_a_restart_can_lose_everything(box: BrokerBox) -> None:
    """Sessions and retained messages."""
    with RawClient.connected(box.port, "c", clean=False) as client:
        client.ask(publish("t", b"kept", retain=True, qos=1))
    box.run(box.broker.restart(keep_sessions=False))
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
        assert client.ask(connect("c")).kind == CONNACK


def test_drop_all_breaks_every_connection(box: BrokerBox) -> None:
    """Clients may come back at once."""
    with RawClient.connected(box.port, "a", version=5) as one, RawClient(box.port) as two:
        box.until(lambda: len(box.broker._listener._connections) == 2)
        box.call(box.broker.drop_all)
        assert one.closed()
        assert two.closed()
    with RawClient.connected(box.port, "a") as again:
        assert again.silent()


def test_two_brokers_live_side_by_side(box: BrokerBox) -> None:
    """Nothing is shared."""
    with running_broker() as other:
        with RawClient.connected(other.port, "c"), RawClient.connected(box.port, "c") as client:
            assert client.silent()
        assert len(other.rules.asked) == len(box.rules.asked) == 1
