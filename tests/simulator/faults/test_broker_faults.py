"""What faults do to the broker's clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from peers.mqtt_client import RawClient
from peers.mqtt_packet import Kind, connect, packet, publish
from simulator.broker.broker_box import BrokerBox, running_broker

from epm_task.simulator.broker import Limits, Reason
from epm_task.simulator.faults.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def faults() -> Faults:
    """No fault yet."""
    return Faults()


@pytest.fixture
def box(faults: Faults) -> Iterator[BrokerBox]:
    """A broker with these faults."""
    limits = Limits(connect_seconds=0.2, receive_maximum=3)
    with running_broker(faults=faults, limits=limits) as running:
        yield running


def test_connections_can_be_refused(box: BrokerBox, faults: Faults) -> None:
    """With a code, or without a word."""
    faults.broker(refuse=Reason.SERVER_UNAVAILABLE)
    with RawClient(box.port) as client:
        assert client.ask(connect("c")).body == b"\0\3"
    with RawClient(box.port) as client:
        assert client.ask(connect("c", version=5)).body[1] == Reason.SERVER_UNAVAILABLE
    faults.clear()
    faults.broker(refuse=0)
    with RawClient(box.port) as client:
        client.send(connect("c"))
        assert client.closed()
    assert not box.rules.asked


def test_the_broker_can_be_silent(box: BrokerBox, faults: Faults) -> None:
    """It accepts, reads, says nothing, does not even hang up."""
    faults.broker(silence=True)
    with RawClient(box.port, seconds=0.5) as client:
        with pytest.raises(TimeoutError):
            client.ask(connect("c"))
        faults.clear()
        assert client.closed()


def test_acknowledgements_can_be_withheld(box: BrokerBox, faults: Faults) -> None:
    """Messages are carried; the receive maximum still counts."""
    faults.broker(no_ack=True)
    with RawClient.connected(box.port, "c", version=5) as client:
        for number in range(1, 4):
            client.send(publish("t", qos=1, packet_id=number, version=5))
        assert client.silent()
        assert len(box.messages) == 3
        told = client.ask(publish("t", qos=1, packet_id=4, version=5))
        assert (told.kind, told.body[0]) == (Kind.DISCONNECT, Reason.RECEIVE_MAXIMUM_EXCEEDED)


def test_the_connection_can_drop_after_some_publications(box: BrokerBox, faults: Faults) -> None:
    """The last of them is carried, acknowledged or not."""
    faults.broker(drop_after=2)
    with RawClient.connected(box.port, "c", version=5) as client:
        assert client.ask(publish("t", qos=1, version=5)).kind == Kind.PUBACK
        client.send(publish("t", version=5), publish("t", version=5))
        assert client.closed()
    assert len(box.messages) == 2


def test_the_packet_limit_can_change(box: BrokerBox, faults: Faults) -> None:
    """Also for clients that are connected."""
    with RawClient.connected(box.port, "c", version=5) as client:
        client.send(publish("t", b"x" * 100, version=5))
        faults.broker(packet_limit=50)
        assert client.ask(packet(0xC0)).kind == 13
        told = client.ask(publish("t", b"x" * 100, version=5))
        assert (told.kind, told.body[0]) == (Kind.DISCONNECT, Reason.PACKET_TOO_LARGE)
