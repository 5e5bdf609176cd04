"""SUBSCRIBE and UNSUBSCRIBE on the wire."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.subscribeoptions import SubscribeOptions
from simulator.broker.raw_client import subscribe

from epm_task.simulator.broker.packet import V5, V311
from epm_task.simulator.broker.reason import PacketError
from epm_task.simulator.broker.subscribe import (
    Subscription,
    encode_suback,
    encode_unsuback,
    is_shared,
    is_topic_filter,
    is_topic_name,
    parse_subscribe,
    parse_unsubscribe,
)


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
    options = SubscribeOptions(qos, no_local, as_published, handling).pack()[0]
    data = subscribe(("a/+", options), packet_id=packet_id, version=5, properties=b"\x0b\x07")
    packet = parse_subscribe(V5, data, 2, len(data))
    assert packet.packet_id == packet_id.to_bytes(2, "big")
    assert packet.subscriptions == [Subscription("a/+", qos, no_local, as_published, handling, 7)]


@pytest.mark.parametrize("version", [V311, V5])
@given(data=st.binary(max_size=60))
def test_random_bodies_are_parsed_or_refused(version: int, data: bytes) -> None:
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


def test_answers_carry_codes_where_the_version_has_them() -> None:
    """An UNSUBACK of 3.1.1 is its packet id."""
    assert encode_suback(V311, b"\0\1", [1, 0x80]) == b"\x90\4\0\1\1\x80"
    assert encode_suback(V5, b"\0\1", [1]) == b"\x90\4\0\1\0\1"
    assert encode_unsuback(V311, b"\0\1", [0]) == b"\xb0\2\0\1"
    assert encode_unsuback(V5, b"\0\1", [0x11]) == b"\xb0\4\0\1\0\x11"


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


def test_a_shared_subscription_is_recognised() -> None:
    """By its prefix."""
    assert is_shared("$share/group/topic")
    assert not is_shared("share/group/topic")
