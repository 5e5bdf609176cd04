"""Wills: when they are published, and when not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from simulator.broker.broker_box import Rule
from simulator.broker.raw_client import RawClient, connect, packet, subscribe, text

if TYPE_CHECKING:
    from simulator.broker.broker_box import BrokerBox

_WILL = 0x04 | 0x08
_HOUR = b"\x11\0\0\x0e\x10"


def _tail(version: int, *, delay: int = 0, topic: str = "w") -> bytes:
    properties = b""
    if version == 5:
        properties = b"\x05\x18" + delay.to_bytes(4, "big")
    return properties + text(topic) + text("gone")


@pytest.mark.parametrize("version", [4, 5])
def test_a_broken_connection_publishes_the_will(box: BrokerBox, version: int) -> None:
    """With its QoS, to subscribers and to the agent's listener."""
    with RawClient.connected(box.port, "s") as subscriber:
        subscriber.ask(subscribe(("w", 1)))
        options = {"version": version, "flags": _WILL, "tail": _tail(version)}
        with RawClient.connected(box.port, "c", **options):
            pass
        assert subscriber.read().body.endswith(b"gone")
    (message,) = box.messages
    assert (message.topic, message.qos, message.client_id) == ("w", 1, "c")


def test_a_broken_packet_publishes_the_will(box: BrokerBox) -> None:
    """The broker closed, but the client did not say goodbye."""
    with RawClient.connected(box.port, "c", flags=_WILL, tail=_tail(4)) as client:
        client.send(b"\x00\x00")
        assert client.closed()
    assert [message.payload for message in box.messages] == [b"gone"]


@pytest.mark.parametrize(("version", "goodbye"), [(4, b"\xe0\0"), (5, b"\xe0\0"), (5, b"\xe0\1\0")])
def test_a_goodbye_takes_the_will_away(box: BrokerBox, version: int, goodbye: bytes) -> None:
    """An orderly DISCONNECT."""
    options = {"version": version, "flags": _WILL, "tail": _tail(version)}
    with RawClient.connected(box.port, "c", **options) as client:
        client.send(goodbye)
        assert client.closed()
    box.until(lambda: box.events.having('"c" is gone'))
    assert not box.messages


def test_a_client_can_ask_for_its_will(box: BrokerBox) -> None:
    """DISCONNECT with reason 0x04."""
    with RawClient.connected(box.port, "c", version=5, flags=_WILL, tail=_tail(5)) as client:
        client.send(packet(0xE0, b"\x04"))
        assert client.closed()
    assert len(box.messages) == 1


def test_a_denied_will_is_dropped_silently(box: BrokerBox) -> None:
    """The client is accepted; the trace tells."""
    box.rules.by_client_id["c"] = Rule(publications={"KeeperLogger"})
    with RawClient.connected(box.port, "c", version=5, flags=_WILL, tail=_tail(5)):
        pass
    box.until(lambda: box.events.having('"c" is gone'))
    assert not box.messages
    (denial,) = box.events.denials
    assert "will" in denial.what
    assert denial.facts["topic"] == "w"


def test_a_delayed_will_waits_for_the_client_to_come_back(box: BrokerBox) -> None:
    """Within the delay, in the same session: nothing is published."""
    options = {
        "version": 5,
        "flags": _WILL,
        "tail": _tail(5, delay=1),
        "properties": _HOUR,
    }
    with RawClient.connected(box.port, "back", **options):
        pass
    with RawClient.connected(box.port, "away", **options):
        pass
    box.until(lambda: len(box.events.having("is gone")) == 2)
    with RawClient(box.port) as client:
        client.ask(connect("back", version=5, clean=False, properties=_HOUR))
        assert not box.messages
        started = time.monotonic()
        box.until(lambda: box.messages)
        assert 0.5 < time.monotonic() - started < 3
    assert [message.client_id for message in box.messages] == ["away"]


def test_a_delayed_will_comes_with_the_end_of_its_session(box: BrokerBox) -> None:
    """A clean start ends the old session at once; no session means no delay."""
    options = {"version": 5, "flags": _WILL, "tail": _tail(5, delay=3600)}
    with RawClient.connected(box.port, "short", **options):
        pass
    box.until(lambda: len(box.messages) == 1)
    with RawClient.connected(box.port, "long", properties=_HOUR, **options):
        pass
    box.until(lambda: box.events.having('"long" is gone'))
    assert len(box.messages) == 1
    with RawClient.connected(box.port, "long", version=5):
        box.until(lambda: len(box.messages) == 2)
