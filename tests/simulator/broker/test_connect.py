"""CONNECT on the wire."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator.broker.raw_client import connect, text

from epm_task.simulator.broker import reason
from epm_task.simulator.broker.connect import (
    NEVER_SECONDS,
    Connect,
    UnsupportedVersion,
    encode_connack,
    parse_connect,
)
from epm_task.simulator.broker.packet import V5, V311, body_bounds
from epm_task.simulator.broker.reason import PacketError


def _parsed(data: bytes) -> Connect:
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
    found = _parsed(data)
    assert (found.version, found.client_id, found.clean) == (version, client_id, clean)
    assert found.keep_alive_seconds == keep_alive
    assert found.expiry_seconds == (NEVER_SECONDS if version == V311 and not clean else 0)
    assert found.will is not None
    assert (found.will.topic, found.will.payload) == ("w/t", payload)
    assert (found.will.qos, found.will.retain) == (qos, retain)


def test_the_properties_of_a_connect_are_used() -> None:
    """Session expiry, receive maximum, maximum packet size, will delay."""
    data = connect(
        "c",
        version=5,
        properties=b"\x11\0\0\0\x3c\x21\0\x05\x27\0\0\x10\0",
        flags=4,
        tail=b"\5\x18\0\0\0\7" + text("w") + text(b""),
    )
    found = _parsed(data)
    assert (found.expiry_seconds, found.receive_maximum, found.packet_bytes) == (60, 5, 4096)
    assert found.will is not None
    assert found.will.delay_seconds == 7


@given(st.binary(max_size=80))
def test_random_bodies_are_parsed_or_refused(data: bytes) -> None:
    """Nothing but a packet error comes out."""
    for body in (data, text("MQTT") + data, text("MQTT") + b"\x05" + data):
        with suppress(PacketError):
            parse_connect(body, 0, len(body))


@pytest.mark.parametrize("flags", [1, 0x18 | 4, 0x08, 0x20, 0x40])
def test_contradicting_flags_are_refused(flags: int) -> None:
    """The reserved bit, will QoS 3, a will's options without a will, a password without a user."""
    with pytest.raises(PacketError, match="flags"):
        _parsed(connect("c", flags=flags, tail=text("x") * 4))


@pytest.mark.parametrize("level", [3, 6, 0])
def test_another_version_is_named(level: int) -> None:
    """The dialogue answers it with a CONNACK of its own."""
    with pytest.raises(UnsupportedVersion):
        _parsed(connect("c", version=level))


def test_an_authentication_method_is_refused() -> None:
    """None is offered."""
    with pytest.raises(PacketError) as caught:
        _parsed(connect("c", version=5, properties=b"\x15\0\1x"))
    assert caught.value.reason == reason.BAD_AUTHENTICATION_METHOD


def test_a_will_needs_a_topic_name() -> None:
    """A wildcard cannot be published on."""
    with pytest.raises(PacketError) as caught:
        _parsed(connect("c", flags=4, tail=text("a/#") + text("")))
    assert caught.value.reason == reason.TOPIC_NAME_INVALID


def test_a_refusal_has_the_code_of_its_version() -> None:
    """0x87 is 5 in MQTT 3.1.1."""
    assert encode_connack(V311, reason.NOT_AUTHORIZED) == b"\x20\2\0\5"
    assert encode_connack(V5, reason.NOT_AUTHORIZED) == b"\x20\3\0\x87\0"
    assert encode_connack(V311, 0, present=True) == b"\x20\2\1\0"
