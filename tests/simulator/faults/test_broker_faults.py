"""Disturbances: faults that are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from simulator.broker.broker_box import BrokerBox, running_broker
from simulator.broker.raw_client import DISCONNECT, PUBACK, RawClient, connect, packet, publish

from epm_task.simulator.broker import Limits, Undisturbed, reason

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class _Faults:
    """Faults that a test changes while the broker runs."""

    refusal: int | None = None
    mute: bool = False
    acknowledging: bool = True
    after: int | None = None
    limit: int | None = None

    def refuse(self) -> int | None:
        """Return the refusal."""
        return self.refusal

    def silent(self) -> bool:
        """Return whether nothing is answered."""
        return self.mute

    def acknowledges(self) -> bool:
        """Return whether publications are acknowledged."""
        return self.acknowledging

    def drop_after(self) -> int | None:
        """Return the number of publications."""
        return self.after

    def packet_limit(self) -> int | None:
        """Return the limit."""
        return self.limit


@pytest.fixture
def faults() -> _Faults:
    """No fault yet."""
    return _Faults()


@pytest.fixture
def box(faults: _Faults) -> Iterator[BrokerBox]:
    """A broker with these faults."""
    limits = Limits(connect_seconds=0.2, receive_maximum=3)
    with running_broker(faults=faults, limits=limits) as running:
        yield running


def test_without_faults_all_is_well() -> None:
    """The default disturbs nothing."""
    calm = Undisturbed()
    assert calm.refuse() is calm.drop_after() is calm.packet_limit() is None
    assert calm.acknowledges()
    assert not calm.silent()


def test_connections_can_be_refused(box: BrokerBox, faults: _Faults) -> None:
    """With a code, or without a word."""
    faults.refusal = reason.SERVER_UNAVAILABLE
    with RawClient(box.port) as client:
        assert client.ask(connect("c")).body == b"\0\3"
    with RawClient(box.port) as client:
        assert client.ask(connect("c", version=5)).body[1] == reason.SERVER_UNAVAILABLE
    faults.refusal = 0
    with RawClient(box.port) as client:
        client.send(connect("c"))
        assert client.closed()
    assert not box.rules.asked


def test_the_broker_can_be_silent(box: BrokerBox, faults: _Faults) -> None:
    """It accepts, reads, says nothing, does not even hang up."""
    faults.mute = True
    with RawClient(box.port, seconds=0.5) as client:
        with pytest.raises(TimeoutError):
            client.ask(connect("c"))
        faults.mute = False
        assert client.closed()


def test_acknowledgements_can_be_withheld(box: BrokerBox, faults: _Faults) -> None:
    """Messages are carried; the receive maximum still counts."""
    faults.acknowledging = False
    with RawClient.connected(box.port, "c", version=5) as client:
        for number in range(1, 4):
            client.send(publish("t", qos=1, packet_id=number, version=5))
        assert client.silent()
        assert len(box.messages) == 3
        told = client.ask(publish("t", qos=1, packet_id=4, version=5))
        assert (told.kind, told.body[0]) == (DISCONNECT, reason.RECEIVE_MAXIMUM_EXCEEDED)


def test_the_connection_can_drop_after_some_publications(box: BrokerBox, faults: _Faults) -> None:
    """The last of them is carried, acknowledged or not."""
    faults.after = 2
    with RawClient.connected(box.port, "c", version=5) as client:
        assert client.ask(publish("t", qos=1, version=5)).kind == PUBACK
        client.send(publish("t", version=5), publish("t", version=5))
        assert client.closed()
    assert len(box.messages) == 2


def test_the_packet_limit_can_change(box: BrokerBox, faults: _Faults) -> None:
    """Also for clients that are connected."""
    with RawClient.connected(box.port, "c", version=5) as client:
        client.send(publish("t", b"x" * 100, version=5))
        faults.limit = 50
        assert client.ask(packet(0xC0)).kind == 13
        told = client.ask(publish("t", b"x" * 100, version=5))
        assert (told.kind, told.body[0]) == (DISCONNECT, reason.PACKET_TOO_LARGE)
