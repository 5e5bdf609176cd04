"""A publisher: acknowledgement, denial, QoS 2, topic aliases, receive maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from peers.mqtt_client import RawClient
from peers.mqtt_packet import Kind, Packet, connect, publish, reply, subscribe
from simulator.broker.broker_box import Events, rule, running_broker

from epm_task.simulator.broker import Limits, Reason
from epm_task.simulator.broker.message import Message
from epm_task.simulator.broker.properties import read_properties
from epm_task.simulator.broker.publisher import Denials

if TYPE_CHECKING:
    from simulator.broker.broker_box import BrokerBox


_LOGGER_ONLY = rule(publications={"KeeperLogger"}, run_id="run-7")


def test_an_allowed_message_reaches_the_agent(box: BrokerBox) -> None:
    """With who published it, in the order of arrival."""
    box.rules.by_client_id["job_run"] = _LOGGER_ONLY
    with RawClient.connected(box.port, "job_run", version=5) as client:
        client.send(publish("KeeperLogger", b"0", version=5))
        properties = b"\x03\0\x04json\x26\0\1k\0\1v"
        data = publish("KeeperLogger", b"1", qos=1, version=5, retain=True, properties=properties)
        assert client.ask(data) == Packet(Kind.PUBACK, 0, b"\0\1")
    first, second = box.messages
    assert (first.payload, second.payload) == (b"0", b"1")
    assert (second.topic, second.qos, second.retain) == ("KeeperLogger", 1, True)
    assert (second.client_id, second.job_id, second.run_id) == ("job_run", "job", "run-7")
    assert read_properties(Kind.PUBLISH, second.forwarded) == {
        "ContentType": "json",
        "UserProperty": [("k", "v")],
    }
    assert not box.events.denials


@pytest.mark.parametrize("version", [4, 5])
def test_a_denial_is_silent(box: BrokerBox, version: int) -> None:
    """Success is acknowledged at every QoS; only the trace tells."""
    box.rules.by_client_id["c"] = _LOGGER_ONLY
    with RawClient.connected(box.port, "c", version=version) as client:
        client.send(publish("other", b"12", version=version, retain=True))
        assert client.ask(publish("other", qos=1, version=version)) == Packet(
            Kind.PUBACK, 0, b"\0\1"
        )
        data = publish("other", qos=2, packet_id=2, version=version)
        assert client.ask(data) == Packet(Kind.PUBREC, 0, b"\0\2")
        assert client.ask(reply(Kind.PUBREL, 2)) == Packet(Kind.PUBCOMP, 0, b"\0\2")
    assert not box.messages
    assert not len(box.broker._state.retained)
    assert len(box.events.denials) == 3
    denial = box.events.denials[0]
    assert denial.kind == "mqtt"
    assert denial.what == 'a publication on "other" was dropped'
    whose = {"client_id": "c", "job_id": "job", "run_id": "run-7"}
    list_name = "allowedPublications"
    fix = {"listed": list_name, "fix": f'add "other" to mqttTopics.{list_name}', "times": 1}
    assert denial.facts == {"topic": "other", "bytes": 2, **whose, **fix}


def test_a_denial_can_be_visible() -> None:
    """0x87 in PUBACK and PUBREC of MQTT 5; 3.1.1 has no room for it."""
    with running_broker(deny_visibly=True) as box:
        box.rules.by_client_id.update(new=_LOGGER_ONLY, old=_LOGGER_ONLY)
        with RawClient.connected(box.port, "new", version=5) as client:
            assert client.ask(publish("x", qos=1, version=5)).body == b"\0\1\x87"
            assert client.ask(publish("x", qos=2, packet_id=2, version=5)).body == b"\0\2\x87"
            assert client.ask(reply(Kind.PUBREL, 2)) == Packet(Kind.PUBCOMP, 0, b"\0\2\x92")
        with RawClient.connected(box.port, "old") as client:
            assert client.ask(publish("x", qos=1)).body == b"\0\1"
            assert client.ask(publish("x", qos=2)).body == b"\0\1"
            assert client.ask(reply(Kind.PUBREL, 1)) == Packet(Kind.PUBCOMP, 0, b"\0\1")


@pytest.mark.parametrize("version", [4, 5])
def test_qos_2_is_carried_exactly_once(box: BrokerBox, version: int) -> None:
    """A repeated PUBLISH is acknowledged, not carried; also on the next connection."""
    options: dict[str, Any] = {"version": version, "clean": False}
    if version == 5:
        options["properties"] = b"\x11\0\0\0\x3c"
    data = publish("t", b"x", qos=2, packet_id=9, version=version)
    again = publish("t", b"x", qos=2, packet_id=9, version=version, dup=True)
    with RawClient.connected(box.port, "c", **options) as client:
        assert client.ask(data).kind == Kind.PUBREC
        assert client.ask(again).kind == Kind.PUBREC
    with RawClient.connected(box.port, "c", **options) as client:
        assert client.ask(again).kind == Kind.PUBREC
        assert client.ask(reply(Kind.PUBREL, 9)).kind == Kind.PUBCOMP
        assert len(box.messages) == 1
        assert client.ask(data).kind == Kind.PUBREC
        assert len(box.messages) == 2


def test_the_receive_maximum_is_kept() -> None:
    """One QoS 2 publication more than allowed ends the connection with 0x93."""
    with (
        running_broker(limits=Limits(receive_maximum=2)) as box,
        RawClient.connected(box.port, "c", version=5) as client,
    ):
        for number in (1, 2):
            assert client.ask(publish("t", qos=2, packet_id=number, version=5)).kind == Kind.PUBREC
        told = client.ask(publish("t", qos=2, packet_id=3, version=5))
        assert (told.kind, told.body[0]) == (Kind.DISCONNECT, Reason.RECEIVE_MAXIMUM_EXCEEDED)


def test_a_topic_alias_stands_for_its_topic(box: BrokerBox) -> None:
    """It is set, used, changed; subscribers see the topic and no alias."""
    with RawClient.connected(box.port, "c", version=5) as client:
        client.send(
            publish("one", b"1", version=5, properties=b"\x23\0\1"),
            publish("", b"2", version=5, properties=b"\x23\0\1"),
            publish("two", b"3", version=5, properties=b"\x23\0\1"),
            publish("", b"4", version=5, properties=b"\x23\0\1"),
        )
        assert client.silent()
    assert [message.topic for message in box.messages] == ["one", "one", "two", "two"]
    assert {message.forwarded for message in box.messages} == {b""}


@pytest.mark.parametrize(
    ("alias", "topic", "expected"),
    [
        (b"\x23\0\x41", "t", Reason.TOPIC_ALIAS_INVALID),
        (b"\x23\0\5", "", Reason.PROTOCOL_ERROR),
        (b"", "", Reason.TOPIC_NAME_INVALID),
        (b"", "a/#", Reason.TOPIC_NAME_INVALID),
        (b"\x0b\1", "t", Reason.MALFORMED_PACKET),
    ],
)
def test_a_bad_topic_or_alias_ends_the_connection(
    box: BrokerBox, alias: bytes, topic: str, expected: int
) -> None:
    """Each with its own reason code."""
    with RawClient.connected(box.port, "c", version=5) as client:
        told = client.ask(publish(topic, version=5, properties=alias))
        assert (told.kind, told.body[0]) == (Kind.DISCONNECT, expected)
        assert client.closed()


def test_a_will_or_message_of_the_agent_reaches_subscribers(box: BrokerBox) -> None:
    """`Broker.publish` needs no client."""
    with RawClient.connected(box.port, "c") as client:
        client.ask(subscribe(("t", 0)))
        box.call(lambda: box.broker.publish(Message("t", b"from the agent")))
        assert client.read().body.endswith(b"from the agent")


def test_a_broken_listener_does_not_stop_the_broker() -> None:
    """The trace tells what it raised."""

    def listener(message: object) -> None:
        raise OSError("disk full")

    with running_broker() as box:
        box.broker._state.on_message = listener
        with RawClient.connected(box.port, "c") as client:
            assert client.ask(publish("t", qos=1)).kind == Kind.PUBACK
        assert box.events.having("OSError: disk full")


def test_noted_topics_are_bounded(box: BrokerBox) -> None:
    """A client with ever new topics is served all the same."""
    with RawClient(box.port) as client:
        client.ask(connect("c"))
        client.send(*(publish(f"t/{number}") for number in range(2_500)))
        assert client.silent()
    assert len(box.messages) == 2_500
    assert len(box.events.having("publishes on")) == 100


def test_many_denials_are_summed_up() -> None:
    """A task without KeeperLogger in its topics does not push all else out of the trace."""
    events = Events()
    denials = Denials(events, "job_run", rule(), told=3)
    for _ in range(1_000):
        denials.add("publication on", "KeeperLogger", "allowedPublications", 20)
    assert len(events) == 3
    denials.sum_up()
    denials.sum_up()
    assert events[-1].what == '997 times more: a publication on "KeeperLogger" was dropped'
    assert len(events) == 4
    assert all(event.denied for event in events)
    assert "mqttTopics.allowedPublications of job job" in events[0].reason


def test_denials_of_ever_new_topics_are_bounded() -> None:
    """Topics beyond the bound are not counted."""
    denials = Denials(Events(), "job_run", rule(), told=0)
    for number in range(3_000):
        denials.add("publication on", f"t/{number}", "allowedPublications")
    assert len(denials._untold) == 1_000
