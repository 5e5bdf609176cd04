"""What clients ask for: CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, whole and broken."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.subscribeoptions import SubscribeOptions
from peers.mqtt_packet import connect, publish, subscribe, text

from epm_task.simulator.broker import Message, Reason
from epm_task.simulator.broker.packet import V5, V311, PacketError, body_bounds
from epm_task.simulator.broker.parse import (
    NEVER_SECONDS,
    Connect,
    Publish,
    Subscription,
    is_topic_filter,
    is_topic_name,
    parse_connect,
    parse_publish,
    parse_subscribe,
    parse_unsubscribe,
)


def _connect(data: bytes) -> Connect:
    bounds = body_bounds(data, 0, 1 << 28)
    assert bounds is not None
    return parse_connect(data, *bounds)


@given(
    version=st.sampled_from([V311, V5]),
    client_id=st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30
    ),
    clean=st.booleans(),
    keep_alive=st.integers(0, 65_535),
    payload=st.binary(max_size=30),
    qos=st.integers(0, 2),
    retain=st.booleans(),
)
def test_a_connect_is_read_back(  # noqa: PLR0913 - the fields of the packet
    *,
    version: int,
    client_id: str,
    clean: bool,
    keep_alive: int,
    payload: bytes,
    qos: int,
    retain: bool,
) -> None:
    """Every field of a CONNECT with a will, a user name and a password."""
    properties = b"\0" if version == V5 else b""
    data = connect(
        client_id,
        version=version,
        clean=clean,
        keep_alive=keep_alive,
        flags=0xC4 | qos << 3 | retain << 5,
        tail=properties + text("w/t") + text(payload) + text("user") + text("password"),
    )
    found = _connect(data)
    assert (found.version, found.client_id, found.clean) == (version, client_id, clean)
    assert found.keep_alive_seconds == keep_alive
    assert found.expiry_seconds == (NEVER_SECONDS if version == V311 and not clean else 0)
    assert found.will is not None
    assert (found.will.message.topic, found.will.message.payload) == ("w/t", payload)
    assert (found.will.message.qos, found.will.message.retain) == (qos, retain)


def test_the_properties_of_a_connect_are_used() -> None:
    """Session expiry, receive maximum, maximum packet size, will delay."""
    data = connect(
        "c",
        version=5,
        properties=b"\x11\0\0\0\x3c\x21\0\x05\x27\0\0\x10\0",
        flags=4,
        tail=b"\5\x18\0\0\0\7" + text("w") + text(b""),
    )
    found = _connect(data)
    assert (found.expiry_seconds, found.receive_maximum, found.packet_bytes) == (60, 5, 4096)
    assert found.will is not None
    assert found.will.delay_seconds == 7


@given(st.binary(max_size=80))
def test_random_connects_are_parsed_or_refused(data: bytes) -> None:
    """Nothing but a packet error comes out."""
    for body in (data, text("MQTT") + data, text("MQTT") + b"\x05" + data):
        with suppress(PacketError):
            parse_connect(body, 0, len(body))


@pytest.mark.parametrize("flags", [1, 0x18 | 4, 0x08, 0x20, 0x40])
def test_contradicting_flags_are_refused(flags: int) -> None:
    """The reserved bit, will QoS 3, a will's options without a will, a password without a user."""
    with pytest.raises(PacketError, match="flags"):
        _connect(connect("c", flags=flags, tail=text("x") * 4))


@pytest.mark.parametrize("level", [3, 6, 0])
def test_another_version_is_named(level: int) -> None:
    """The client gets a CONNACK of its own for it."""
    with pytest.raises(PacketError) as caught:
        _connect(connect("c", version=level))
    assert caught.value.reason == Reason.UNSUPPORTED_VERSION


def test_an_authentication_method_is_refused() -> None:
    """None is offered."""
    with pytest.raises(PacketError) as caught:
        _connect(connect("c", version=5, properties=b"\x15\0\1x"))
    assert caught.value.reason == Reason.BAD_AUTHENTICATION_METHOD


def test_a_will_needs_a_topic_name() -> None:
    """A wildcard cannot be published on."""
    with pytest.raises(PacketError) as caught:
        _connect(connect("c", flags=4, tail=text("a/#") + text("")))
    assert caught.value.reason == Reason.TOPIC_NAME_INVALID


_TOPIC = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def _publish(version: int, data: bytes) -> Publish:
    bounds = body_bounds(data, 0, 1 << 28)
    assert bounds is not None
    return parse_publish(data[0], version, data, *bounds)


@given(
    version=st.sampled_from([V311, V5]),
    topic=_TOPIC,
    payload=st.binary(max_size=300),
    qos=st.integers(0, 2),
    packet_id=st.integers(1, 65_535),
)
def test_a_message_is_read_back(
    version: int, topic: str, payload: bytes, qos: int, packet_id: int
) -> None:
    """What the broker writes to subscribers is what it reads from publishers."""
    message = Message(topic, payload, qos)
    plain = message.encode(version, qos, packet_id)
    assert plain == publish(topic, payload, qos=qos, packet_id=packet_id, version=version)
    again = message.encode(version, qos, packet_id, retain=True, again=True)
    for data in (plain, again):
        packet = _publish(version, data)
        assert (packet.topic.decode(), packet.payload, packet.qos) == (topic, payload, qos)
        assert packet.packet_id == (packet_id.to_bytes(2, "big") if qos else b"")
        assert packet.retain == (data is again)


@pytest.mark.parametrize("version", [V311, V5])
@given(first=st.integers(0x30, 0x3F), body=st.binary(max_size=40), tail=st.binary(max_size=40))
def test_random_publications_are_parsed_or_refused(
    version: int, first: int, body: bytes, tail: bytes
) -> None:
    """Nothing but a packet error comes out, and nothing of the packet behind it goes in."""
    try:
        packet = parse_publish(first, version, body + tail, 0, len(body))
    except PacketError:
        return
    assert len(packet.topic) + len(packet.payload) + len(packet.packet_id) <= len(body)


@pytest.mark.parametrize(
    "data",
    [
        b"\x36\5\0\1a\0\1",  # QoS 3
        b"\x38\3\0\1a",  # DUP with QoS 0
        b"\x32\5\0\1a\0\0",  # packet id 0
        b"\x30\3\0\x09a",  # topic longer than the packet
        b"\x32\3\0\1a",  # no packet id
        b"\x30\0",
    ],
)
def test_a_broken_publish_is_refused(data: bytes) -> None:
    """What the standard calls malformed."""
    with pytest.raises(PacketError):
        _publish(V311, data)


def test_an_expiring_message_says_how_long_it_has() -> None:
    """The interval that a subscriber sees is what is left (section 3.3.2.3.3)."""
    message = Message("a", b"x", expires_at=monotonic() + 100.4)
    publication = _publish(V5, message.encode(V5, 0)).publication
    assert publication.expiry_seconds in range(50, 101)
    assert message.expired(monotonic() + 101)
    assert not message.expired(monotonic())


@given(
    qos=st.integers(0, 2),
    no_local=st.booleans(),
    as_published=st.booleans(),
    handling=st.integers(0, 2),
    packet_id=st.integers(1, 65_535),
)
def test_options_written_by_paho_are_read(
    *, qos: int, no_local: bool, as_published: bool, handling: int, packet_id: int
) -> None:
    """All combinations of the options."""
    written = SubscribeOptions(qos, no_local, as_published, handling)
    options = written.pack()[0]  # type: ignore[no-untyped-call]
    data = subscribe(("a/+", options), packet_id=packet_id, version=5, properties=b"\x0b\x07")
    found, subscriptions = parse_subscribe(V5, data, 2, len(data))
    assert found == packet_id.to_bytes(2, "big")
    assert subscriptions == [Subscription("a/+", qos, no_local, as_published, handling, 7)]


@pytest.mark.parametrize("version", [V311, V5])
@given(data=st.binary(max_size=60))
def test_random_subscriptions_are_parsed_or_refused(version: int, data: bytes) -> None:
    """Nothing but a packet error comes out."""
    for parse in (parse_subscribe, parse_unsubscribe):
        with suppress(PacketError):
            parse(version, data, 0, len(data))


@pytest.mark.parametrize(
    ("version", "options"), [(V5, 3), (V5, 0x30), (V5, 0x40), (V311, 4), (V311, 3)]
)
def test_reserved_options_are_refused(version: int, options: int) -> None:
    """QoS 3, retain handling 3 and reserved bits."""
    data = subscribe(("a", options), version=version)
    with pytest.raises(PacketError, match="reserved"):
        parse_subscribe(version, data, 2, len(data))


@pytest.mark.parametrize(
    "body", [b"\0\0\0\0\1a\0", b"\0\1\0", b"\0\1\4\x0b\1\x0b\2\0\1a\0", b"\0\1\2\x0b\0\0\1a\0"]
)
def test_a_broken_subscribe_is_refused(body: bytes) -> None:
    """Packet id 0, no filter, two identifiers, identifier 0."""
    with pytest.raises(PacketError):
        parse_subscribe(V5, body, 0, len(body))


@pytest.mark.parametrize(
    "topic_filter", ["a", "/", "a/+/b", "+", "#", "a/#", "+/+/#", "$SYS/#", "a//b"]
)
def test_a_good_filter_is_taken(topic_filter: str) -> None:
    """Wildcards may fill whole levels."""
    assert is_topic_filter(topic_filter)


@pytest.mark.parametrize(
    "topic_filter", ["", "a+", "a/b#", "#/a", "a/#/b", "++", "a/+b/c", "+/" * 200]
)
def test_a_bad_filter_is_refused(topic_filter: str) -> None:
    """Wildcards inside a level, `#` before the end, too many levels."""
    assert not is_topic_filter(topic_filter)


def test_a_topic_name_has_no_wildcards() -> None:
    """One cannot publish on a pattern or on nothing."""
    assert is_topic_name("a/b")
    assert not any(map(is_topic_name, ["", "a/+", "#"]))
