"""The session table: take-over, expiry, ownership."""

from __future__ import annotations

import time
from functools import partial

import pytest
from peers.mqtt_client import RawClient
from peers.mqtt_packet import Kind, connect, packet, publish, subscribe, text
from simulator.broker.broker_box import BrokerBox, rule, running_broker

from epm_task.simulator.broker import Limits, Reason

_HOUR = b"\x11\0\0\x0e\x10"


def _present(client: RawClient, version: int = 5) -> bool:
    answer = client.read()
    assert answer.kind == Kind.CONNACK
    return bool(answer.body[0])


@pytest.mark.parametrize("version", [4, 5])
def test_the_newer_connection_takes_over(box: BrokerBox, version: int) -> None:
    """The older one is told why, where its version can."""
    with (
        RawClient.connected(box.port, "c", version=version) as older,
        RawClient.connected(box.port, "c", version=version) as newer,
    ):
        if version == 5:
            told = older.read()
            assert (told.kind, told.body[0]) == (Kind.DISCONNECT, Reason.SESSION_TAKEN_OVER)
        assert older.closed()
        assert newer.silent()


@pytest.mark.parametrize("version", [4, 5])
def test_a_refused_client_takes_nothing_over(box: BrokerBox, version: int) -> None:
    """The live session stays, its subscriptions too; 3.1.1 gets 5, MQTT 5 gets 0x87."""
    with RawClient.connected(box.port, "c", version=version) as client:
        client.ask(subscribe(("t", 0), version=version))
        box.rules.by_client_id["c"] = rule(allowed=False, reason="not registered")
        for clean in (True, False):
            with RawClient(box.port) as stranger:
                answer = stranger.ask(connect("c", version=version, clean=clean))
                assert answer.body[:2] == bytes((0, 0x87 if version == 5 else 5))
                assert stranger.closed()
        assert client.ask(publish("t", b"x", version=version)).kind == Kind.PUBLISH
        assert client.silent()
    assert [event.reason for event in box.events.denials] == ["not registered"] * 2


def test_a_session_survives_its_connection(box: BrokerBox) -> None:
    """Subscriptions and undelivered messages, in 3.1.1 without clean session."""
    with RawClient.connected(box.port, "c", clean=False) as client:
        client.ask(subscribe(("t", 1)))
    box.until(lambda: box.events.having('"c" is gone'))
    with RawClient.connected(box.port, "p") as publisher:
        publisher.ask(publish("t", b"x", qos=1))
    with RawClient(box.port) as client:
        client.send(connect("c", clean=False))
        assert _present(client)
        assert client.read().body.endswith(b"x")


def _gone(box: BrokerBox, times: int) -> bool:
    return len(box.events.having('"c" is gone')) == times


def test_what_is_noted_of_a_session_belongs_to_the_run_of_its_client(box: BrokerBox) -> None:
    """Also when the run before left the session behind."""
    for run_id in ("one", "two"):
        box.rules.by_client_id["c"] = rule(run_id=run_id)
        with RawClient.connected(box.port, "c", clean=False) as client:
            client.ask(subscribe(("t", 1)))
        box.until(partial(_gone, box, len({"one", run_id})))
    for words in ("connected", "subscribes", "is gone"):
        events = box.events.having(words)
        assert [event.facts["run_id"] for event in events] == ["one", "two"]


def test_a_clean_start_ends_the_older_session(box: BrokerBox) -> None:
    """Nothing of it comes back."""
    with RawClient.connected(box.port, "c", version=5, properties=_HOUR) as client:
        client.ask(subscribe(("t", 1), version=5))
    with RawClient(box.port) as client:
        client.send(connect("c", version=5))
        assert not _present(client)
        assert client.ask(publish("t", b"x", qos=1, version=5)).kind != Kind.PUBLISH


def test_a_session_ends_with_its_expiry(box: BrokerBox) -> None:
    """One second after the connection; a DISCONNECT can change it to now."""
    with RawClient.connected(box.port, "c", version=5, properties=b"\x11\0\0\0\1"):
        pass
    with RawClient.connected(box.port, "d", version=5, properties=_HOUR) as client:
        client.send(packet(0xE0, b"\0\x05\x11\0\0\0\0"))
        assert client.closed()
    box.until(lambda: not len(box.broker._state.sessions))
    with RawClient(box.port) as client:
        client.send(connect("c", version=5, clean=False))
        assert not _present(client)


def test_an_ended_session_cannot_be_prolonged(box: BrokerBox) -> None:
    """Section 3.14.2.2.2 of MQTT 5."""
    with RawClient.connected(box.port, "c", version=5) as client:
        told = client.ask(packet(0xE0, b"\0\x05\x11\0\0\0\1"))
        assert (told.kind, told.body[0]) == (Kind.DISCONNECT, Reason.PROTOCOL_ERROR)


def test_a_session_of_somebody_else_is_not_handed_over(box: BrokerBox) -> None:
    """A job never gets what the admin certificate subscribed to."""
    box.rules.by_client_id["c"] = rule(run_id=None)
    with RawClient.connected(box.port, "c", version=5, properties=_HOUR) as admin:
        admin.ask(subscribe(("#", 1), version=5))
    box.rules.by_client_id["c"] = rule(subscriptions=set())
    with RawClient(box.port) as task:
        task.send(connect("c", version=5, clean=False))
        assert not _present(task)
        assert task.ask(publish("secret", b"x", qos=1, version=5)).kind != Kind.PUBLISH


def test_a_subscription_that_is_no_longer_allowed_ends_at_the_next_connection(
    box: BrokerBox,
) -> None:
    """The job was edited between two runs."""
    with RawClient.connected(box.port, "c", version=5, properties=_HOUR) as client:
        client.ask(subscribe(("old", 1), ("kept", 1), version=5))
    box.rules.by_client_id["c"] = rule(subscriptions={"kept"})
    with RawClient(box.port) as client:
        client.send(connect("c", version=5, clean=False))
        assert _present(client)
        client.send(publish("old", b"1", version=5), publish("kept", b"2", version=5))
        assert client.read().body.endswith(b"2")
    assert [event.facts["topic"] for event in box.events.denials] == ["old"]


def test_the_longest_absent_client_makes_room() -> None:
    """Sessions of clients that never come back are bounded."""
    with running_broker(limits=Limits(absent_sessions=2)) as box:
        for name in ("a", "b", "c"):
            with RawClient.connected(box.port, name, clean=False):
                pass
            box.until(partial(box.events.having, f'"{name}" is gone'))
        assert box.events.having('the session of "a" was ended')
        assert len(box.broker._state.sessions) == 2


_WILL = 0x04 | 0x08


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
    box.rules.by_client_id["c"] = rule(publications={"KeeperLogger"})
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
        "tail": _tail(5, delay=2),
        "properties": _HOUR,
    }
    with RawClient.connected(box.port, "back", **options):
        pass
    with RawClient.connected(box.port, "away", **options):
        started = time.monotonic()
    box.until(lambda: len(box.events.having("is gone")) == 2)
    with RawClient(box.port) as client:
        client.ask(connect("back", version=5, clean=False, properties=_HOUR))
        assert not box.messages
        box.until(lambda: box.messages)
        assert time.monotonic() - started >= 2
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
