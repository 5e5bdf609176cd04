"""A dialogue: CONNECT, its answers, its refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from simulator.broker.broker_box import Rule, running_broker
from simulator.broker.raw_client import (
    CONNACK,
    DISCONNECT,
    RawClient,
    connect,
    packet,
    publish,
    text,
)

from epm_task.simulator.broker import Limits, reason
from epm_task.simulator.broker.properties import read_properties, values_of

if TYPE_CHECKING:
    from simulator.broker.broker_box import BrokerBox


def test_the_access_rules_are_asked_with_both_ends(box: BrokerBox) -> None:
    """Client id, local end, far end, certificate."""
    with RawClient.connected(box.port, "job_run") as client:
        expected = ("job_run", client.socket.getpeername(), client.socket.getsockname(), None)
    assert box.rules.asked == [expected]
    assert box.events[0].what == '"job_run" connected with MQTT 3.1.1'
    assert box.events[0].reason == "a rule of the test"


def test_a_refusal_is_told_to_the_trace(box: BrokerBox) -> None:
    """The client gets a code without a word."""
    box.rules.by_client_id["c"] = Rule(allowed=False, reason="registered in 0.2 s")
    with RawClient(box.port) as client:
        assert client.ask(connect("c", version=5)).body == b"\0\x87\0"
        assert client.closed()
    (denial,) = box.events.denials
    assert denial.reason == "registered in 0.2 s"
    assert denial.facts == {"client_id": "c", "job_id": "job"}


def test_mqtt_5_learns_the_bounds_and_its_id() -> None:
    """Maximum packet size, topic aliases, receive maximum, the assigned client id."""
    limits = Limits(packet_bytes=5_000, receive_maximum=7, topic_aliases=3)
    with running_broker(limits=limits) as box, RawClient(box.port) as client:
        body = client.ask(connect("", version=5)).body
        values = values_of(read_properties(CONNACK, body[3:]))
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
        assert (told.kind, told.body[0]) == (DISCONNECT, reason.PROTOCOL_ERROR)
        assert client.closed()


def test_the_end_of_a_client_is_told(box: BrokerBox) -> None:
    """With the number of its publications."""
    with RawClient.connected(box.port, "c") as client:
        client.send(publish("t"), publish("t"), packet(0xE0))
        assert client.closed()
    (event,) = box.until(lambda: box.events.having('"c" is gone'))
    assert event.facts["publications"] == 2
