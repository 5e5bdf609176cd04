"""A connection: bytes in any pieces, hostile bytes, silence, clients that do not read."""

from __future__ import annotations

import random
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from peers.patience import BUSY
from simulator.broker.broker_box import BrokerBox, Rule, running_broker
from simulator.broker.raw_client import (
    CONNACK,
    DISCONNECT,
    PUBLISH,
    RawClient,
    connect,
    packet,
    publish,
    subscribe,
    text,
)

from epm_task.simulator.broker import Limits, reason
from epm_task.simulator.broker.packet import encode_length
from epm_task.simulator.broker.properties import read_properties, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator


_MIB = 1_048_576


@pytest.fixture
def hasty() -> Iterator[BrokerBox]:
    """A broker that waits 0.2 s for CONNECT."""
    with running_broker(limits=Limits(connect_seconds=0.2)) as running:
        yield running


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_packets_can_come_in_any_pieces(box: BrokerBox, size: int) -> None:
    """Byte by byte, or many at once."""
    data = connect("c") + publish("t", b"x" * 200, qos=1) + publish("u") + packet(0xC0)
    with RawClient(box.port) as client:
        for at in range(0, len(data), size):
            client.send(data[at : at + size])
        assert [client.read().kind for _ in range(3)] == [2, 4, 13]
    assert [len(message.payload) for message in box.messages] == [200, 0]


def test_a_connection_without_connect_is_closed(hasty: BrokerBox) -> None:
    """Whether it is silent or drips; the default is 5 s."""
    assert Limits().connect_seconds == 5
    with RawClient(hasty.port) as silent, RawClient(hasty.port) as dripping:
        dripping.send(connect("c")[:5])
        assert silent.closed()
        assert dripping.closed()
    assert len(hasty.events.having("no CONNECT within 0.2 s")) == 2


def test_an_admitted_client_may_be_silent(hasty: BrokerBox) -> None:
    """Without keep-alive it is never closed; and no timer is left."""
    with RawClient.connected(hasty.port, "c") as client:
        time.sleep(0.3)
        assert client.silent()


@pytest.mark.parametrize("version", [4, 5])
def test_the_keep_alive_is_enforced(box: BrokerBox, version: int) -> None:
    """One and a half times its length; a ping prolongs it."""
    with RawClient.connected(box.port, "c", version=version, keep_alive=1) as client:
        time.sleep(0.8)
        started = time.monotonic()
        assert client.silent()
        if version == 5:
            told = client.read()
            assert (told.kind, told.body[0]) == (DISCONNECT, reason.KEEP_ALIVE_TIMEOUT)
            assert b"keep-alive" in told.body
        else:
            assert client.closed()
        assert 1.4 < time.monotonic() - started < 1.5 + BUSY


def test_ten_thousand_random_bytes_close_their_connection_only(box: BrokerBox) -> None:
    """From strangers and from an admitted client; others go on."""
    seeded = random.Random(3)
    with RawClient.connected(box.port, "other") as other:
        for number in range(40):
            with RawClient(box.port) as client:
                if number % 2:
                    client.ask(connect("c", version=4 + number % 4 // 2))
                with suppress(OSError, EOFError):
                    client.send(seeded.randbytes(10_000))
                    client.socket.shutdown(socket.SHUT_WR)
                    while client.read():
                        pass
            assert other.silent()
    assert not box.events.having("broker error")


def test_a_publish_of_300_mb_is_refused_by_its_header(box: BrokerBox) -> None:
    """0x95 at once; what the client still sends is not kept."""
    before = _resident()
    with RawClient.connected(box.port, "c", version=5) as client:
        client.send(b"\x30" + encode_length(300_000_000 - 32_000_000) + text("t") + b"\0")
        try:
            for _ in range(64):
                client.send(b"x" * _MIB)
        except ConnectionError:
            pass
        else:
            told = client.read()
            assert (told.kind, told.body[0]) == (DISCONNECT, reason.PACKET_TOO_LARGE)
    assert box.events.having("allowed 1048576")
    assert _resident() - before < 32 * _MIB


def test_a_client_reads_why_its_packet_is_too_large(box: BrokerBox) -> None:
    """It can still be sending: the broker lets it read before it closes."""
    with RawClient.connected(box.port, "c", version=5) as client:
        client.send(publish("t", b"x" * (_MIB - 10), version=5))
        assert client.silent()
        client.send(publish("t", b"x" * 2 * _MIB, version=5))
        assert client.read().body[0] == reason.PACKET_TOO_LARGE


def test_a_connect_is_bounded_before_anybody_is_known(box: BrokerBox) -> None:
    """A stranger cannot make the broker hold a megabyte."""
    with RawClient(box.port) as client:
        client.send(b"\x10" + encode_length(Limits().connect_bytes))
        assert client.closed()


def test_two_thousand_half_open_connections_are_bounded() -> None:
    """The oldest go first; a real client gets in meanwhile."""
    with running_broker(limits=Limits(half_open=100)) as box:
        before = _resident()
        held = []
        try:
            for _ in range(2_000):
                held.append(socket.create_connection(("127.0.0.1", box.port)))
                if len(held) > 200:
                    held.pop(0).close()
            with RawClient.connected(box.port, "c") as client:
                assert client.silent()
            assert box.call(lambda: len(box.broker._listener._connections)) <= 101
        finally:
            for one in held:
                one.close()
        assert box.events.having("half-open")
        assert _resident() - before < 64 * _MIB


def test_a_slow_subscriber_stops_nobody() -> None:
    """It gets what fits, in order; what does not fit is counted in the trace."""
    with (
        running_broker(limits=Limits(queue_bytes=_MIB)) as box,
        RawClient.connected(box.port, "slow") as slow,
        RawClient.connected(box.port, "fast") as fast,
        RawClient.connected(box.port, "p") as publisher,
    ):
        slow.ask(subscribe(("t", 0)))
        fast.ask(subscribe(("t", 0)))
        for number in range(600):
            publisher.send(publish("t", b"%8d" % number + b"x" * 30_000))
            assert int(fast.read().body[3:11]) == number
        assert publisher.silent()
        (first,) = box.events.having("does not keep up")
        assert first.facts["client_id"] == "slow"
        numbers = [-1]
        while numbers[-1] < 599:
            numbers.append(int(slow.read().body[3:11]))
        assert numbers == sorted(numbers)
        dropped = 600 - (len(numbers) - 1)
        (total,) = box.until(lambda: box.events.having("messages to"))
        assert total.facts["dropped"] == dropped > 0


def test_a_client_that_does_not_read_is_not_read() -> None:
    """Its acknowledgements are bounded by its own silence."""
    with running_broker(on_message=None) as box, RawClient(box.port, seconds=0.5) as client:
        client.ask(connect("c"))
        data = b"".join(publish("t", qos=1, packet_id=number) for number in range(1, 50_000))
        data *= 20
        before = _resident()
        with pytest.raises(TimeoutError):
            client.socket.sendall(data)
        assert _resident() - before < 16 * _MIB


def test_a_maximum_packet_size_of_the_client_is_kept(box: BrokerBox) -> None:
    """A longer message is dropped and counted; the reason of a DISCONNECT is shortened."""
    with RawClient.connected(box.port, "c", version=5, properties=b"\x27\0\0\0\x14") as client:
        client.ask(subscribe(("t", 1), version=5))
        client.send(publish("t", b"x" * 100, version=5), publish("t", b"y", version=5))
        message = client.read()
        assert (message.kind, message.body[-1:]) == (PUBLISH, b"y")
        told = client.ask(packet(0x00))
        assert (told.kind, told.body) == (DISCONNECT, b"\x82")
    assert box.events.having("more than the client takes (20)")


def test_a_client_that_leaves_in_the_middle_of_a_packet_is_forgotten(box: BrokerBox) -> None:
    """No connection, no timer stays."""
    with RawClient.connected(box.port, "c", keep_alive=60) as client:
        client.send(publish("t", b"x" * 1_000)[:500])
    box.until(lambda: not box.broker._listener._connections)
    assert not len(box.broker._sessions)


def test_an_idle_broker_uses_no_cpu(box: BrokerBox) -> None:
    """With clients connected, in half a second: nothing that could be measured."""
    with RawClient.connected(box.port, "c", keep_alive=60):
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.02


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
