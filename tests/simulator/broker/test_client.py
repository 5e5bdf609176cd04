"""A client: subscriptions with all their options, acknowledgements, wrong packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from simulator.broker.broker_box import Rule, running_broker
from simulator.broker.raw_client import (
    AUTH,
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    Packet,
    RawClient,
    packet,
    publish,
    reply,
    subscribe,
    text,
)

from epm_task.simulator.broker import Limits, Message, reason

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
        assert client.read() == Packet(PUBLISH, 4, b"\0\1t\0\1\0x")
        assert client.ask(reply(PUBREC, 1)) == Packet(PUBREL, 2, b"\0\1")
        client.send(reply(PUBCOMP, 1))
        assert client.ask(reply(PUBREC, 1)) == Packet(PUBREL, 2, b"\0\1\x92")
        box.call(lambda: box.broker.publish(_message(qos=2)))
        assert client.read().body[3:5] == b"\0\2"
        client.send(reply(PUBREC, 2, 0x97, 0))
        assert client.silent()


def _message(qos: int = 0) -> Message:
    return Message("t", b"x", qos)


def test_retained_messages_come_with_the_subscription(box: BrokerBox) -> None:
    """With the retain flag; later messages without it, unless it is asked for."""
    with RawClient.connected(box.port, "p") as publisher:
        publisher.ask(publish("t", b"kept", retain=True, qos=1))
        with RawClient.connected(box.port, "s", version=5) as client:
            client.ask(subscribe(("t", 0), version=5))
            assert client.read() == Packet(PUBLISH, 1, b"\0\1t\0kept")
            publisher.ask(publish("t", b"new", retain=True, qos=1))
            assert client.read().flags == 0
            client.ask(subscribe(("t", _AS_PUBLISHED | _NEVER), version=5))
            publisher.ask(publish("t", b"newer", retain=True, qos=1))
            assert client.read().flags == 1


def test_retain_handling_is_kept(box: BrokerBox) -> None:
    """1 sends to a new subscription only, 2 never."""
    with RawClient.connected(box.port, "c", version=5) as client:
        client.send(publish("t", b"kept", retain=True, version=5))
        assert client.ask(subscribe(("t", _NEVER), version=5)).kind == SUBACK
        assert client.silent()
        assert client.ask(subscribe(("t", _NEW_ONLY), version=5)).kind == SUBACK
        assert client.silent()
        client.ask(packet(0xA2, b"\0\1\0", text("t")))
        client.ask(subscribe(("t", _NEW_ONLY), version=5))
        assert client.read().kind == PUBLISH


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
    box.rules.by_client_id["c"] = Rule(subscriptions={"mine"})
    properties = b"\0" if version == 5 else b""
    with RawClient.connected(box.port, "c", version=version) as client:
        answer = client.ask(subscribe(("mine", 1), ("other", 2), ("#", 1), version=version))
        assert answer == Packet(SUBACK, 0, b"\0\1" + properties + b"\1\2\1")
        client.send(publish("other", version=version))
        assert client.silent()
        answer = client.ask(packet(0xA2, b"\0\2", properties, text("other")))
        assert answer == Packet(UNSUBACK, 0, b"\0\2" + properties * 2)
    assert [event.facts["topic"] for event in box.events.denials] == ["other", "#"]
    assert "allowedSubscriptions" in box.events.denials[0].reason


def test_a_denied_subscription_can_be_visible() -> None:
    """0x87 in the SUBACK of MQTT 5."""
    with running_broker(deny_visibly=True) as box:
        box.rules.by_client_id["c"] = Rule(subscriptions=set())
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


def test_subscriptions_are_bounded() -> None:
    """0x97, and the trace says so; replacing one is always possible."""
    with running_broker(limits=Limits(subscriptions=2)) as box:
        with RawClient.connected(box.port, "c", version=5) as client:
            answer = client.ask(subscribe(*((name, 0) for name in "abca"), version=5))
            assert answer.body[3:] == bytes((0, 0, 0x97, 0))
            answer = client.ask(subscribe(*((name, 1) for name in "bd"), version=5))
            assert answer.body[3:] == bytes((1, 0x97))
        assert box.events.having("too many subscriptions")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (packet(CONNACK << 4, b"\0\0"), reason.PROTOCOL_ERROR),
        (packet(AUTH << 4), reason.PROTOCOL_ERROR),
        (packet(0x00), reason.PROTOCOL_ERROR),
        (packet(0xC1), reason.MALFORMED_PACKET),
        (packet(0xC0, b"x"), reason.MALFORMED_PACKET),
        (packet(0x80, b"\0\1\0", text("t"), b"\0"), reason.MALFORMED_PACKET),
        (packet(0x60, b"\0\1"), reason.MALFORMED_PACKET),
        (packet(PUBACK << 4, b"\0"), reason.MALFORMED_PACKET),
        (packet(PUBACK << 4, b"\0\1\0\5x"), reason.MALFORMED_PACKET),
        (packet(0x82, b"\0\1\0"), reason.PROTOCOL_ERROR),
        (packet(0xA2, b"\0\1\0"), reason.PROTOCOL_ERROR),
        (b"\x30\xff\xff\xff\xff", reason.MALFORMED_PACKET),
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
            assert (told.kind, told.body[0]) == (DISCONNECT, expected)
        assert client.closed()
