"""Properties: what paho reads."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker.packet import PacketError, Reader
from epm_task.simulator.broker.properties import (
    publication_of,
    read_properties,
    read_publication,
    write_properties,
)

_TEXT = st.text(
    st.characters(exclude_characters="\0\ufeff+#", exclude_categories=["Cs"]), max_size=30
)
_PUBLICATION = st.fixed_dictionaries(
    {},
    optional={
        "PayloadFormatIndicator": st.integers(0, 1),
        "MessageExpiryInterval": st.integers(0, 0xFFFF_FFFF),
        "ContentType": _TEXT,
        "ResponseTopic": _TEXT,
        "CorrelationData": st.binary(max_size=30),
        "TopicAlias": st.integers(1, 65_535),
        "UserProperty": st.lists(st.tuples(_TEXT, _TEXT), min_size=1, max_size=4),
    },
)


def _encoded(kind: int, values: dict[str, Any]) -> bytes:
    return Reader(b"\0" + write_properties(kind, **values), 1).property_bytes()


@given(_PUBLICATION)
def test_the_properties_of_a_publication_are_read_back(values: dict[str, Any]) -> None:
    """All stay but the alias and the expiry, which are the broker's business."""
    publication = read_publication(_encoded(PacketTypes.PUBLISH, values))
    assert publication.topic_alias == values.pop("TopicAlias", None)
    assert publication.expiry_seconds == values.pop("MessageExpiryInterval", None)
    assert read_properties(PacketTypes.PUBLISH, publication.forwarded) == values


@given(st.binary(max_size=80), st.sampled_from([*PacketTypes.indexes, PacketTypes.WILLMESSAGE]))
def test_hostile_bytes_raise_one_type_of_error(data: bytes, kind: int) -> None:
    """Whatever paho raises becomes a packet error."""
    with suppress(PacketError):
        read_properties(kind, data)


@given(st.binary(max_size=80))
def test_a_hostile_publication_raises_one_type_of_error(data: bytes) -> None:
    """The same for those of a PUBLISH."""
    with suppress(PacketError):
        read_publication(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0b\1",  # a subscription identifier
        b"\x08\0\1#",  # a wildcard in the response topic
        b"\x01\0\x01\0",  # doubled
        b"\x23\0\0",  # alias 0
        b"\x7f\0",  # unknown
        b"\x11\0\0\0\1",  # foreign: session expiry
    ],
)
def test_a_forbidden_property_is_refused(data: bytes) -> None:
    """What the standard forbids in a PUBLISH ends the connection."""
    with pytest.raises(PacketError):
        read_publication(data)


def test_a_maximum_packet_size_beyond_that_of_paho_is_taken() -> None:
    """The standard allows four bytes."""
    properties = read_properties(PacketTypes.CONNECT, b"\x27\xff\xff\xff\xff")
    assert properties["MaximumPacketSize"] == 268_435_455


def test_a_will_loses_its_delay() -> None:
    """The delay is for the broker, all else for subscribers."""
    publication = publication_of({"WillDelayInterval": 5, "ContentType": "text/plain"})
    passed = read_properties(PacketTypes.PUBLISH, publication.forwarded)
    assert passed == {"ContentType": "text/plain"}
