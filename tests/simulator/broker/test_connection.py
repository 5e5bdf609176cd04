"""A connection: bytes in any portions, broken bytes, silence, clients that do not read."""

from __future__ import annotations

import random
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from peers.mqtt_client import RawClient
from peers.mqtt_packet import Kind, connect, packet, publish, subscribe, text
from peers.patience import BUSY
from simulator.broker.broker_box import BrokerBox, running_broker

from epm_task.runtime.agent.tls import HANDSHAKE_SECONDS
from epm_task.simulator.broker import Limits, Reason
from epm_task.simulator.broker.packet import encode_length

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
def test_packets_can_come_in_any_portions(box: BrokerBox, size: int) -> None:
    """Byte by byte, or many at once."""
    data = connect("c") + publish("t", b"x" * 200, qos=1) + publish("u") + packet(0xC0)
    with RawClient(box.port) as client:
        for at in range(0, len(data), size):
            client.send(data[at : at + size])
        assert [client.read().kind for _ in range(3)] == [2, 4, 13]
    assert [len(message.payload) for message in box.messages] == [200, 0]


def test_a_connection_without_connect_is_closed(hasty: BrokerBox) -> None:
    """Whether it is silent or drips; the default is longer than a task waits."""
    assert Limits().connect_seconds > HANDSHAKE_SECONDS
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
            assert (told.kind, told.body[0]) == (Kind.DISCONNECT, Reason.KEEP_ALIVE_TIMEOUT)
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
            assert (told.kind, told.body[0]) == (Kind.DISCONNECT, Reason.PACKET_TOO_LARGE)
    assert box.events.having("allowed 1048576")
    assert _resident() - before < 32 * _MIB


def test_a_client_reads_why_its_packet_is_too_large(box: BrokerBox) -> None:
    """It can still be sending: the broker lets it read before it closes."""
    with RawClient.connected(box.port, "c", version=5) as client:
        client.send(publish("t", b"x" * (_MIB - 10), version=5))
        assert client.silent()
        client.send(publish("t", b"x" * 2 * _MIB, version=5))
        assert client.read().body[0] == Reason.PACKET_TOO_LARGE


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
        assert (message.kind, message.body[-1:]) == (Kind.PUBLISH, b"y")
        told = client.ask(packet(0x00))
        assert (told.kind, told.body) == (Kind.DISCONNECT, b"\x82")
    assert box.events.having("more than the client takes (20)")


def test_a_client_that_leaves_in_the_middle_of_a_packet_is_forgotten(box: BrokerBox) -> None:
    """No connection, no timer stays."""
    with RawClient.connected(box.port, "c", keep_alive=60) as client:
        client.send(publish("t", b"x" * 1_000)[:500])
    box.until(lambda: not box.broker._state.connections)
    assert not len(box.broker._state.sessions)


def test_an_idle_broker_uses_no_cpu(box: BrokerBox) -> None:
    """With a client connected, in half a second: next to nothing."""
    with RawClient.connected(box.port, "c", keep_alive=60):
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.1
