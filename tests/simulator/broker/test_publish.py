"""PUBLISH on the wire, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator.broker.raw_client import publish

from epm_task.simulator.broker.message import Message
from epm_task.simulator.broker.packet import V5, V311, body_bounds
from epm_task.simulator.broker.packet_error import PacketError
from epm_task.simulator.broker.publish import Publish, parse_publish

_TOPIC = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def _parsed(version: int, data: bytes) -> Publish:
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
    special = message.encode_specially(
        version, qos, packet_id, retain=True, again=True, subscription_ids=(5, 300), now=0
    )
    for data in (plain, special):
        if version == V5 and data is special:
            assert b"\x0b\x05\x0b\xac\x02" in data
            continue
        packet = _parsed(version, data)
        assert (packet.topic.decode(), packet.payload, packet.qos) == (topic, payload, qos)
        assert packet.packet_id == (packet_id.to_bytes(2, "big") if qos else b"")
        assert packet.retain == (data is special)


@pytest.mark.parametrize("version", [V311, V5])
@given(first=st.integers(0x30, 0x3F), body=st.binary(max_size=40), tail=st.binary(max_size=40))
def test_random_bodies_are_parsed_or_refused(
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
        _parsed(V311, data)


def test_an_expiring_message_says_how_long_it_has() -> None:
    """The interval that a subscriber sees is what is left (section 3.3.2.3.3)."""
    message = Message("a", b"x", expires_at=100.0)
    data = message.encode_specially(
        V5, 0, 0, retain=False, again=False, subscription_ids=(), now=91
    )
    publication = _parsed(V5, data).publication
    assert publication is not None
    assert publication.expiry_seconds == 9
    assert message.expired(100.0)
    assert not message.expired(99.0)
