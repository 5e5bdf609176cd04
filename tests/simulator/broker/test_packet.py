"""Packets: lengths, texts, bounds."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epm_task.simulator.broker import Reason
from epm_task.simulator.broker.packet import (
    PacketError,
    Reader,
    body_bounds,
    encode_length,
    encode_packet,
    encode_reply,
)


@given(st.integers(0, 268_435_455))
def test_a_length_is_read_back(length: int) -> None:
    """Every length of the standard survives encoding."""
    data = b"\x30" + encode_length(length)
    assert body_bounds(data, 0, 1 << 29) == (len(data), len(data) + length)


@given(st.binary(max_size=6))
def test_a_cut_or_wrong_length_is_never_an_index_error(data: bytes) -> None:
    """Random bytes give bounds, None or a packet error."""
    with suppress(PacketError):
        bounds = body_bounds(data, 0, 1_000)
        assert bounds is None or bounds[0] <= bounds[1] <= 1_000


@pytest.mark.parametrize(
    "data", [b"\x30\xff\xff\xff\xff", b"\x30\xff\xff\xff\xff\x01", b"\x30\x80\0"]
)
def test_a_malformed_length_is_refused(data: bytes) -> None:
    """Five bytes, or more bytes than needed, are no length."""
    with pytest.raises(PacketError, match="length"):
        body_bounds(data, 0, 1 << 29)


def test_a_packet_over_the_limit_is_refused_by_its_header() -> None:
    """The body of 300 MB is never waited for."""
    with pytest.raises(PacketError) as caught:
        body_bounds(b"\x30" + encode_length(268_435_455), 0, 1_048_576)
    assert caught.value.reason == Reason.PACKET_TOO_LARGE


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300))
def test_a_text_is_read_back(value: str) -> None:
    """UTF-8 survives."""
    data = value.encode()
    assert Reader(len(data).to_bytes(2, "big") + data).text() == value


@pytest.mark.parametrize("data", [b"\0\1\xff", b"\0\1\0", b"\0\3\xed\xa0\x80", b"\0\5ab", b"\0"])
def test_a_bad_text_is_refused(data: bytes) -> None:
    """No UTF-8, NUL, a surrogate, a cut text."""
    with pytest.raises(PacketError):
        Reader(data).text()


def test_bytes_left_over_are_refused() -> None:
    """A body longer than its fields is malformed."""
    with pytest.raises(PacketError, match="longer"):
        Reader(b"x").finish()


def test_replies_are_short_where_the_standard_allows() -> None:
    """Success has no reason code; 3.1.1 never has one."""
    assert encode_reply(4, 5, b"\0\1") == b"\x40\2\0\1"
    assert encode_reply(4, 4, b"\0\1", 0x87) == b"\x40\2\0\1"
    assert encode_reply(6, 5, b"\0\1", 0x92) == b"\x62\3\0\1\x92"
    assert encode_packet(0xC0) == b"\xc0\0"
