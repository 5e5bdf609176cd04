"""Tests of MQTT packets: written as other implementations read them, read at every cut."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from peers import mqtt_packet as peer

from epm_task.runtime.broker.packet import (
    DISCONNECT,
    MOST_PACKET_BYTES,
    PING_REQUEST,
    Arrival,
    MalformedPacket,
    puback_packet,
    publish_packet,
    read_packets,
    subscribe_packet,
)
from epm_task.simulator.broker import Message
from epm_task.simulator.broker.client import encode_suback
from epm_task.simulator.broker.packet import V5, V311, body_bounds, encode_reply
from epm_task.simulator.broker.parse import parse_publish

PINGRESP = b"\xd0\x00"
PUBACK_1 = b"\x40\x02\x00\x01"


@pytest.mark.parametrize("mqtt5", [True, False], ids=["5", "3.1.1"])
@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 16_383, 16_384, 131_072, 2_097_152])
def test_two_other_implementations_read_a_publish(size: int, *, mqtt5: bool) -> None:
    """At every length of the length, the peers of the tests and the simulator read the same."""
    topic, payload = b"Jobs/key-scanner/findings", b"x" * size
    packet = publish_packet(topic, 0x1234, payload, mqtt5=mqtt5)
    whole = peer.split(bytearray(packet))
    assert whole is not None
    assert whole.size == len(packet)
    read = peer.parse_publish(whole, V5 if mqtt5 else V311, 1)
    assert (read.topic.encode(), read.payload, read.packet_id) == (topic, payload, 0x1234)
    assert (read.qos, read.duplicate, read.retain) == (1, False, False)
    bounds = body_bounds(packet, 0, 1 << 28)
    assert bounds is not None
    found = parse_publish(packet[0], V5 if mqtt5 else V311, packet, *bounds)
    assert (found.topic, found.payload, found.packet_id) == (topic, payload, b"\x12\x34")


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    st.binary(max_size=300),
    st.integers(1, 65_535),
    st.booleans(),
)
def test_any_publish_is_read_back(topic: str, payload: bytes, packet_id: int, mqtt5: bool) -> None:  # noqa: FBT001  # hypothesis calls it
    """Whatever the topic and the payload hold, nothing of them leaks into the other fields."""
    packet = publish_packet(topic.encode(), packet_id, payload, mqtt5=mqtt5)
    whole = peer.split(bytearray(packet))
    assert whole is not None
    read = peer.parse_publish(whole, V5 if mqtt5 else V311, 1)
    assert (read.topic, read.payload, read.packet_id) == (topic, payload, packet_id)


@pytest.mark.parametrize(
    ("data", "settled", "refused", "reason"),
    [
        (b"", [], [], None),
        (PUBACK_1, [1], [], None),
        (b"\x40\x02\xff\xff", [65_535], [], None),
        (b"\x40\x03\x00\x01\x00", [1], [], None),
        (b"\x40\x03\x00\x01\x10", [1], [], None),  # 0x10: nobody subscribes
        (b"\x40\x04\x00\x01\x87\x00", [], [(1, 0x87)], None),
        (b"\x40\x03\x00\x02\x97", [], [(2, 0x97)], None),
        (PINGRESP + PUBACK_1 + PINGRESP, [1], [], None),
        (b"\xe0\x00", [], [], 0),
        (b"\xe0\x01\x8b", [], [], 0x8B),
        (b"\xe0\x02\x8b\x00", [], [], 0x8B),
        (b"\x70\x80\x00", [], [], None),  # an overlong length is no harm in a packet passed over
    ],
)
def test_packets_are_read(
    data: bytes, settled: list[int], refused: list[tuple[int, int]], reason: int | None
) -> None:
    """Acknowledgements, refusals and the broker's farewell are told; the rest is passed over."""
    buffer = bytearray(data)
    received = read_packets(buffer)
    assert (received.settled, received.refused) == (settled, refused)
    assert received.disconnect_reason == reason
    assert buffer == b""


def test_replies_of_the_simulator_are_read() -> None:
    """What the simulator writes as a PUBACK is what the runtime reads."""
    written = [
        encode_reply(PacketTypes.PUBACK, V311, b"\x00\x07"),
        encode_reply(PacketTypes.PUBACK, V5, b"\x00\x08"),
        encode_reply(PacketTypes.PUBACK, V5, b"\x00\x09", 0x87),
    ]
    received = read_packets(bytearray(b"".join(written)))
    assert (received.settled, received.refused) == ([7, 8], [(9, 0x87)])


@given(
    st.lists(
        st.sampled_from(
            [PUBACK_1, PINGRESP, b"\x40\x04\x00\x02\x87\x00", b"\xf0\xc8\x01" + b"x" * 200]
        )
    ),
    st.lists(st.integers(1, 9)),
)
def test_cuts_change_nothing(packets: list[bytes], cuts: list[int]) -> None:
    """However the stream is cut, each packet is read once, and no half one is lost."""
    data = b"".join(packets)
    buffer, settled, refused = bytearray(), 0, 0
    for cut in [*cuts, len(data)]:
        buffer += data[:cut]
        data = data[cut:]
        received = read_packets(buffer)
        settled += len(received.settled)
        refused += len(received.refused)
    assert buffer == b""
    assert settled == packets.count(PUBACK_1)
    assert refused == packets.count(b"\x40\x04\x00\x02\x87\x00")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x40\x80\x80\x80\x80\x01", "more than four bytes"),
        (b"\xff\xff\xff\xff\xff", "more than four bytes"),
        (b"\x40\x00", "without a packet id"),
        (b"\x40\x01\x00", "without a packet id"),
        (PUBACK_1 + b"\x40\x01\x00", "without a packet id"),
    ],
)
def test_malformed_bytes_are_refused(data: bytes, words: str) -> None:
    """What cannot be MQTT ends the connection instead of being waited for."""
    with pytest.raises(MalformedPacket, match=words):
        read_packets(bytearray(data))


@pytest.mark.parametrize("data", [b"\x40", b"\x40\x80", b"\x40\x80\x80\x80", b"\x40\x02\x00"])
def test_half_packet_is_kept(data: bytes) -> None:
    """The bytes of a packet that is not complete stay in the buffer."""
    buffer = bytearray(data)
    assert read_packets(buffer).settled == []
    assert buffer == data


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    """A hostile broker can cause one kind of error only."""
    buffer = bytearray(data)
    with contextlib.suppress(MalformedPacket):
        read_packets(buffer)
    assert bytes(buffer) == data[len(data) - len(buffer) :]


def test_short_packets_are_whole() -> None:
    """Ping and farewell are packets of two bytes."""
    kinds = [peer.split(bytearray(packet)) for packet in (PING_REQUEST, DISCONNECT)]
    assert [(k.kind, k.size) for k in kinds if k] == [(12, 2), (14, 2)]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
            st.binary(max_size=300),
            st.sampled_from([None, 1, 77, 65_535]),
            st.booleans(),
        ),
        max_size=5,
    ),
    st.booleans(),
    st.integers(0, 100),
)
def test_messages_of_another_implementation_are_read(
    messages: list[tuple[str, bytes, int | None, bool]],
    mqtt5: bool,  # noqa: FBT001  # hypothesis calls it
    cut: int,
) -> None:
    """At every cut, in both versions, with and without an acknowledgement to give."""
    version = V5 if mqtt5 else V311
    data = b"".join(
        Message(topic, payload).encode(
            version, packet_id is not None, packet_id or 0, retain=retain
        )
        for topic, payload, packet_id, retain in messages
    )
    buffer = bytearray(data[:cut])
    found = read_packets(buffer, mqtt5=mqtt5).arrived
    buffer += data[cut:]
    found += read_packets(buffer, mqtt5=mqtt5).arrived
    assert found == [Arrival(*message) for message in messages]
    assert not buffer


@pytest.mark.parametrize("mqtt5", [True, False], ids=["5", "3.1.1"])
@pytest.mark.parametrize("code", [1, 0x80, 0x87])
def test_the_answer_to_a_subscription_is_read(code: int, *, mqtt5: bool) -> None:
    """With its packet id."""
    data = encode_suback(V5 if mqtt5 else V311, b"\xfd\xe9", [code])
    assert read_packets(bytearray(data), mqtt5=mqtt5).granted == [(65_001, bytes([code]))]


@pytest.mark.parametrize("mqtt5", [True, False], ids=["5", "3.1.1"])
def test_a_subscription_asks_for_nothing_retained(*, mqtt5: bool) -> None:
    """MQTT 3.1.1 cannot say it."""
    packet = subscribe_packet(b"a/b", 65_001, mqtt5=mqtt5)
    options = 0x21 if mqtt5 else 0x01
    head = b"\xfd\xe9\0" if mqtt5 else b"\xfd\xe9"
    body = head + b"\0\3a/b" + bytes([options])
    assert packet == bytes([0x82, len(body)]) + body
    assert puback_packet(258) == b"\x40\x02\x01\x02"


@pytest.mark.parametrize(
    "packet",
    [
        b"\x30\x02\x00\x05",  # a topic that ends behind the packet
        b"\x32\x04\x00\x01a\x00",  # half a packet id
        b"\x34\x06\x00\x01a\x00\x01\x00",  # QoS 2, which was not asked for
        b"\x30\x03\x00\x00\x00",  # no topic
        b"\x30\x07\x00\x01a\xff\xff\xff\xff",  # properties without an end
        b"\x90\x03\x00\x01\x00",  # a subscription without a reason
        b"\x30" + b"\xff\xff\xff\x7f",  # 256 MiB
    ],
)
def test_what_is_not_a_message_ends_the_connection(packet: bytes) -> None:
    """Rather than wait for what will not come."""
    with pytest.raises(MalformedPacket):
        read_packets(bytearray(packet))


@given(st.binary(max_size=60), st.booleans())
def test_no_bytes_make_the_reader_fail(data: bytes, mqtt5: bool) -> None:  # noqa: FBT001
    """They are packets, or they are not."""
    with contextlib.suppress(MalformedPacket):
        read_packets(bytearray(data), mqtt5=mqtt5)
    assert MOST_PACKET_BYTES >= 1024 * 1024
