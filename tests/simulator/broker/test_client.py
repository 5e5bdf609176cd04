"""A client: greeting, subscriptions with all their options, acknowledgements, wrong packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from peers.mqtt_client import RawClient
from peers.mqtt_packet import Kind, Packet, connect, packet, publish, reply, subscribe, text
from simulator.broker.broker_box import rule, running_broker

from epm_task.simulator.broker import Limits, Message, Reason
from epm_task.simulator.broker.client import encode_connack, encode_suback, encode_unsuback
from epm_task.simulator.broker.packet import V5, V311
from epm_task.simulator.broker.properties import read_properties

if TYPE_CHECKING:
    from simulator.broker.broker_box import BrokerBox

_NO_LOCAL, _AS_PUBLISHED, _NEW_ONLY, _NEVER = 4, 8, 0x10, 0x20


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_arrives_with_the_lesser_qos(box: BrokerBox, version: int, qos: int) -> None:
    """That of the publication or that of the subscription."""
    with RawClient.connected(box.port, "s", version=version) as subscriber:
        assert subscriber.ask(subscribe(("t", qos), version=version)).body[-1] == qos
        with RawClient.connected(box.port, "p") as publisher:
            publisher.send(*(publish("t", qos=level, packet_id=level + 1) for level in range(3)))
            got = [subscriber.read() for _ in range(3)]
        assert [message.flags >> 1 for message in got] == [min(qos, level) for level in range(3)]


def test_the_exchange_of_a_qos_2_delivery(box: BrokerBox) -> None:
    """PUBLISH, PUBREC, PUBREL, PUBCOMP; an unknown PUBREC is answered with 0x92."""
    with RawClient.connected(box.port, "c", version=5) as client:
        client.ask(subscribe(("t", 2), version=5))
        box.call(lambda: box.broker.publish(_message(qos=2)))
        assert client.read() == Packet(Kind.PUBLISH, 4, b"\0\1t\0\1\0x")
        assert client.ask(reply(Kind.PUBREC, 1)) == Packet(Kind.PUBREL, 2, b"\0\1")
        client.send(reply(Kind.PUBCOMP, 1))
        assert client.ask(reply(Kind.PUBREC, 1)) == Packet(Kind.PUBREL, 2, b"\0\1\x92")
        box.call(lambda: box.broker.publish(_message(qos=2)))
        assert client.read().body[3:5] == b"\0\2"
        client.send(reply(Kind.PUBREC, 2, 0x97, 0))
        assert client.silent()


def _message(qos: int = 0) -> Message:
    return Message("t", b"x", qos)


def test_retained_messages_come_with_the_subscription(box: BrokerBox) -> None:
    """With the retain flag; later messages without it, unless it is asked for."""
    with RawClient.connected(box.port, "p") as publisher:
        publisher.ask(publish("t", b"kept", retain=True, qos=1))
        with RawClient.connected(box.port, "s", version=5) as client:
            client.ask(subscribe(("t", 0), version=5))
            assert client.read() == Packet(Kind.PUBLISH, 1, b"\0\1t\0kept")
            publisher.ask(publish("t", b"new", retain=True, qos=1))
            assert client.read().flags == 0
            client.ask(subscribe(("t", _AS_PUBLISHED | _NEVER), version=5))
            publisher.ask(publish("t", b"newer", retain=True, qos=1))
            assert client.read().flags == 1


def test_retain_handling_is_kept(box: BrokerBox) -> None:
    """1 sends to a new subscription only, 2 never."""
    with RawClient.connected(box.port, "c", version=5) as client:
        client.send(publish("t", b"kept", retain=True, version=5))
        assert client.ask(subscribe(("t", _NEVER), version=5)).kind == Kind.SUBACK
        assert client.silent()
        assert client.ask(subscribe(("t", _NEW_ONLY), version=5)).kind == Kind.SUBACK
        assert client.silent()
        client.ask(packet(0xA2, b"\0\1\0", text("t")))
        client.ask(subscribe(("t", _NEW_ONLY), version=5))
        assert client.read().kind == Kind.PUBLISH


def test_no_local_keeps_own_messages_away(box: BrokerBox) -> None:
    """Retained ones, too."""
    with RawClient.connected(box.port, "c", version=5) as client:
        client.send(publish("t", b"kept", retain=True, version=5))
        client.ask(subscribe(("t", _NO_LOCAL), version=5))
        client.send(publish("t", b"x", version=5))
        assert client.silent()
        with RawClient.connected(box.port, "other") as other:
            other.send(publish("t", b"y"))
            assert client.read().body.endswith(b"y")


def test_a_subscription_identifier_comes_with_each_message(box: BrokerBox) -> None:
    """All of them when several subscriptions match."""
    with RawClient.connected(box.port, "c", version=5) as client:
        client.ask(subscribe(("a/+", 0), version=5, properties=b"\x0b\x07"))
        client.ask(subscribe(("a/#", 0), version=5, properties=b"\x0b\x80\x01"))
        body = client.ask(publish("a/b", version=5)).body
        assert body in {b"\0\3a/b\5\x0b\7\x0b\x80\1", b"\0\3a/b\5\x0b\x80\1\x0b\7"}


def test_request_and_response_properties_pass_through(box: BrokerBox) -> None:
    """Response topic, correlation data, user properties in order; 3.1.1 gets none of them."""
    properties = b"\x01\1\x08\0\2re\x09\0\2\xff\0\x26\0\1a\0\1b\x26\0\1a\0\1c"
    with (
        RawClient.connected(box.port, "new", version=5) as new,
        RawClient.connected(box.port, "old") as old,
    ):
        new.ask(subscribe(("t", 0), version=5))
        old.ask(subscribe(("t", 0)))
        body = new.ask(publish("t", b"x", version=5, properties=properties)).body
        assert body == b"\0\1t" + bytes((len(properties),)) + properties + b"x"
        assert old.read().body == b"\0\1tx"


def test_a_message_expires(box: BrokerBox) -> None:
    """What is left of its interval goes to the subscriber; 0 is over at once."""
    with RawClient.connected(box.port, "c", version=5) as client:
        kept = b"\x02\0\0\0\x3c"
        client.send(publish("t/kept", b"", version=5, retain=True, properties=kept))
        client.send(publish("t/kept", b"1", version=5, retain=True, properties=kept))
        client.send(publish("t/gone", b"2", version=5, retain=True, properties=b"\x02\0\0\0\0"))
        client.ask(subscribe(("t/+", 0), version=5))
        assert client.read().body == b"\0\6t/kept\5" + kept + b"1"
        assert client.silent()


@pytest.mark.parametrize("version", [4, 5])
def test_a_denied_subscription_is_silent(box: BrokerBox, version: int) -> None:
    """The SUBACK grants it, the UNSUBACK ends it, nothing ever comes."""
    box.rules.by_client_id["c"] = rule(subscriptions={"mine"})
    properties = b"\0" if version == 5 else b""
    with RawClient.connected(box.port, "c", version=version) as client:
        answer = client.ask(subscribe(("mine", 1), ("other", 2), ("#", 1), version=version))
        assert answer == Packet(Kind.SUBACK, 0, b"\0\1" + properties + b"\1\2\1")
        client.send(publish("other", version=version))
        assert client.silent()
        answer = client.ask(packet(0xA2, b"\0\2", properties, text("other")))
        assert answer == Packet(Kind.UNSUBACK, 0, b"\0\2" + properties * 2)
    assert [event.facts["topic"] for event in box.events.denials] == ["other", "#"]
    assert "allowedSubscriptions" in box.events.denials[0].reason


def test_a_denied_subscription_can_be_visible() -> None:
    """0x87 in the SUBACK of MQTT 5."""
    with running_broker(deny_visibly=True) as box:
        box.rules.by_client_id["c"] = rule(subscriptions=set())
        with RawClient.connected(box.port, "c", version=5) as client:
            assert client.ask(subscribe(("t", 1), version=5)).body == b"\0\1\0\x87"
            assert client.ask(packet(0xA2, b"\0\2\0", text("t"))).body == b"\0\2\0\x11"


def test_each_filter_has_its_own_code(box: BrokerBox) -> None:
    """Granted, malformed, shared; unknown ones when unsubscribed."""
    with RawClient.connected(box.port, "c", version=5) as client:
        answer = client.ask(subscribe(("a", 1), ("a+", 0), ("$share/g/t", 0), version=5))
        assert answer.body == bytes((0, 1, 0, 1, 0x8F, 0x9E))
        answer = client.ask(packet(0xA2, b"\0\2\0", text("a"), text("b")))
        assert answer.body == bytes((0, 2, 0, 0, 0x11))
    with RawClient.connected(box.port, "d") as client:
        assert client.ask(subscribe(("a/#/b", 0))).body == b"\0\1\x80"
        assert client.ask(packet(0xA2, b"\0\2", text("b"))).body == b"\0\2"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (packet(Kind.CONNACK << 4, b"\0\0"), Reason.PROTOCOL_ERROR),
        (packet(Kind.AUTH << 4), Reason.PROTOCOL_ERROR),
        (packet(0x00), Reason.PROTOCOL_ERROR),
        (packet(0xC1), Reason.MALFORMED_PACKET),
        (packet(0xC0, b"x"), Reason.MALFORMED_PACKET),
        (packet(0x80, b"\0\1\0", text("t"), b"\0"), Reason.MALFORMED_PACKET),
        (packet(0x60, b"\0\1"), Reason.MALFORMED_PACKET),
        (packet(Kind.PUBACK << 4, b"\0"), Reason.MALFORMED_PACKET),
        (packet(Kind.PUBACK << 4, b"\0\1\0\5x"), Reason.MALFORMED_PACKET),
        (packet(0x82, b"\0\1\0"), Reason.PROTOCOL_ERROR),
        (packet(0xA2, b"\0\1\0"), Reason.PROTOCOL_ERROR),
        (b"\x30\xff\xff\xff\xff", Reason.MALFORMED_PACKET),
    ],
)
@pytest.mark.parametrize("version", [4, 5])
def test_a_wrong_packet_ends_the_connection(
    box: BrokerBox, data: bytes, expected: int, version: int
) -> None:
    """MQTT 5 is told which kind of wrong; 3.1.1 is only closed."""
    with RawClient.connected(box.port, "c", version=version) as client:
        client.send(data)
        if version == 5:
            told = client.read()
            assert (told.kind, told.body[0]) == (Kind.DISCONNECT, expected)
        assert client.closed()


def test_the_access_rules_are_asked_with_both_ends(box: BrokerBox) -> None:
    """Client id, local end, far end, certificate."""
    with RawClient.connected(box.port, "job_run") as client:
        expected = ("job_run", client.socket.getpeername(), client.socket.getsockname(), None)
    assert box.rules.asked == [expected]
    assert box.events[0].what == '"job_run" connected with MQTT 3.1.1'
    assert box.events[0].reason == "a rule of the test"


def test_a_refusal_is_told_to_the_trace(box: BrokerBox) -> None:
    """The client gets a code without a word."""
    box.rules.by_client_id["c"] = rule(allowed=False, reason="registered in 0.2 s")
    with RawClient(box.port) as client:
        assert client.ask(connect("c", version=5)).body == b"\0\x87\0"
        assert client.closed()
    (denial,) = box.events.denials
    assert denial.reason == "registered in 0.2 s"
    assert denial.facts == {"client_id": "c", "job_id": "job", "run_id": "run"}


def test_mqtt_5_learns_the_bounds_and_its_id() -> None:
    """Maximum packet size, topic aliases, receive maximum, the assigned client id."""
    limits = Limits(packet_bytes=5_000, receive_maximum=7, topic_aliases=3)
    with running_broker(limits=limits) as box, RawClient(box.port) as client:
        body = client.ask(connect("", version=5)).body
        values = read_properties(Kind.CONNACK, body[3:])
        assert values.pop("AssignedClientIdentifier") == box.rules.asked[0][0]
        assert values == {
            "MaximumPacketSize": 5_000,
            "TopicAliasMaximum": 3,
            "ReceiveMaximum": 7,
            "SharedSubscriptionAvailable": 0,
        }


def test_mqtt_311_without_an_id_needs_a_clean_session(box: BrokerBox) -> None:
    """Section 3.1.3.1 of MQTT 3.1.1."""
    with RawClient.connected(box.port, "") as client:
        assert client.silent()
    with RawClient(box.port) as client:
        assert client.ask(connect("", clean=False)).body == b"\0\2"
        assert client.closed()


@pytest.mark.parametrize("data", [connect("c", version=6), connect("c", version=3)])
def test_another_version_is_refused_with_code_1(box: BrokerBox, data: bytes) -> None:
    """The old CONNACK, which any version understands."""
    with RawClient(box.port) as client:
        assert client.ask(data).body == b"\0\1"
        assert client.closed()


@pytest.mark.parametrize(
    "data",
    [
        publish("t"),
        packet(0xC0),
        packet(0x11, text("MQTT"), b"\4\2\0\0", text("c")),
        connect("c", tail=b"more"),
        connect("c", flags=1),
        connect("c", version=5, properties=b"\x7f\0"),
        connect("c\0"),
        packet(0x10, text("HTTP/1.1")),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_connect_closes_the_connection(box: BrokerBox, data: bytes) -> None:
    """Without an answer, without asking the access rules."""
    with RawClient(box.port) as client:
        client.send(data)
        assert client.closed()
    assert not box.rules.asked


def test_a_second_connect_is_a_protocol_error(box: BrokerBox) -> None:
    """Section 3.1 of both standards."""
    with RawClient.connected(box.port, "c", version=5) as client:
        told = client.ask(connect("c", version=5))
        assert (told.kind, told.body[0]) == (Kind.DISCONNECT, Reason.PROTOCOL_ERROR)
        assert client.closed()


def test_the_end_of_a_client_is_told(box: BrokerBox) -> None:
    """With the number of its publications."""
    with RawClient.connected(box.port, "c") as client:
        client.send(publish("t"), publish("t"), packet(0xE0))
        assert client.closed()
    (event,) = box.until(lambda: box.events.having('"c" is gone'))
    assert event.facts["publications"] == 2


def test_a_refusal_has_the_code_of_its_version() -> None:
    """0x87 is 5 in MQTT 3.1.1; what has no code of its own there is 3, unavailable."""
    assert encode_connack(V311, Reason.NOT_AUTHORIZED) == b"\x20\2\0\5"
    assert encode_connack(V311, Reason.SERVER_SHUTTING_DOWN) == b"\x20\2\0\3"
    assert encode_connack(V5, Reason.NOT_AUTHORIZED) == b"\x20\3\0\x87\0"
    assert encode_connack(V311, 0, present=True) == b"\x20\2\1\0"


def test_answers_carry_codes_where_the_version_has_them() -> None:
    """An UNSUBACK of 3.1.1 is its packet id."""
    assert encode_suback(V311, b"\0\1", [1, 0x80]) == b"\x90\4\0\1\1\x80"
    assert encode_suback(V5, b"\0\1", [1]) == b"\x90\4\0\1\0\1"
    assert encode_unsuback(V311, b"\0\1", [0]) == b"\xb0\2\0\1"
    assert encode_unsuback(V5, b"\0\1", [0x11]) == b"\xb0\4\0\1\0\x11"
