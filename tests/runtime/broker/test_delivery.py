"""A delivery carries every message to the broker, whatever the broker does."""

from __future__ import annotations

import time
from functools import partial
from typing import Literal

import psutil
import pytest
from peers.mqtt_packet import V3, V5
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, PATIENCE
from peers.task_process import closed_port, poll
from runtime.mqtt_sender import Sender, sender
from runtime.trusting import trusting_context

from epm_task.errors import BrokerError, BrokerRefused, BrokerUnreachable
from epm_task.runtime.broker.connection import BrokerAddress
from epm_task.runtime.broker.delivery import STALL_SECONDS, Delivery
from epm_task.runtime.log.outbox import Outbox

PAYLOADS = [b"%d" % n for n in range(2000)]


def _has(peer: MqttPeer, count: int) -> bool:
    return len(_distinct(peer.payloads)) >= count


def _was_sent(peer: MqttPeer, count: int) -> bool:
    return len(peer.publishes) >= count


def _distinct(payloads: list[bytes]) -> list[bytes]:
    """Return each payload once, in the order of its first arrival."""
    return list(dict.fromkeys(payloads))


def test_healthy_broker_gets_each_message_once_in_order() -> None:
    """Without a fault nothing is repeated, reordered or lost, and we take our leave."""
    with MqttPeer() as peer:
        with sender(peer.port) as sending:
            sending.delivery.wait_until_connected(5)
            sending.send(*PAYLOADS)
            sending.await_empty()
        poll(lambda: peer.farewells == 1)
    assert peer.payloads == PAYLOADS
    assert sending.outbox.acknowledged == len(PAYLOADS)
    assert (peer.violations, len(peer.connects)) == ([], 1)


@pytest.mark.parametrize("how", ["connack", "close"])
def test_broker_of_mqtt_3_is_served(how: Literal["connack", "close"]) -> None:
    """MQTT 5 is tried first; 3.1.1 follows, however the refusal looks."""
    peer = MqttPeer(versions=frozenset({V3}), version_refusal=how)
    with peer, sender(peer.port) as sending:
        sending.delivery.wait_until_connected(5)
        sending.send(*PAYLOADS)
        sending.await_empty()
    assert peer.payloads == PAYLOADS
    assert [connect.version for connect in peer.connects] == [V5, V3]


@pytest.mark.parametrize("maximum", [1, 5, 20])
def test_receive_maximum_is_never_exceeded(maximum: int) -> None:
    """Not more messages are in flight than the broker allows."""
    peer = MqttPeer(receive_maximum=maximum, ack_delay_seconds=0.001)
    with peer, sender(peer.port) as sending:
        sending.send(*PAYLOADS[:200])
        sending.await_empty()
    assert peer.payloads == PAYLOADS[:200]
    assert peer.most_in_flight == maximum
    assert peer.violations == []


def test_window_is_our_own_without_a_limit() -> None:
    """At most 100 messages are in flight."""
    with MqttPeer(ack_delay_seconds=0.02) as peer, sender(peer.port) as sending:
        sending.send(*PAYLOADS[:500])
        sending.await_empty()
    assert peer.most_in_flight == 100


def test_message_above_the_packet_limit_is_refused_here() -> None:
    """A message larger than the announced limit is kept, and does not stop the others."""
    with MqttPeer(maximum_packet_size=1000) as peer, sender(peer.port) as sending:
        sending.send(b"a", b"x" * 1000, b"b")
        sending.await_empty()
    assert peer.payloads == [b"a", b"b"]
    ((message, code, why),) = sending.refused
    assert (len(message.payload), code) == (1000, 0x95)
    assert "1000 bytes" in why
    assert (peer.violations, len(peer.connects)) == ([], 1)


def test_largest_message_within_the_packet_limit_is_sent() -> None:
    """What fits with its header and topic is sent, not refused."""
    with MqttPeer(maximum_packet_size=1000) as peer, sender(peer.port) as sending:
        sending.send(b"x" * 985)
        sending.await_empty()
    assert (len(peer.payloads), sending.refused, peer.violations) == (1, [], [])


def test_poison_message_is_given_up_and_the_rest_arrives() -> None:
    """A message that makes the broker hang up is found, kept, and no longer sent."""
    with MqttPeer(packet_limit=5000) as peer, sender(peer.port) as sending:
        sending.send(*PAYLOADS[:150], b"x" * 10_000, *PAYLOADS[150:300])
        sending.await_empty()
    assert _distinct(peer.payloads) == PAYLOADS[:300]
    ((message, code, why),) = sending.refused
    assert (message.payload, code) == (b"x" * 10_000, 0)
    assert "hung up each time" in why


def test_two_poison_messages_are_both_found() -> None:
    """Several such messages are given up one after the other."""
    with MqttPeer(packet_limit=5000) as peer, sender(peer.port) as sending:
        sending.send(b"x" * 10_000, b"a", b"y" * 10_000, b"b")
        sending.await_empty()
    assert _distinct(peer.payloads) == [b"a", b"b"]
    assert [message.payload[:1] for message, _, _ in sending.refused] == [b"x", b"y"]


@pytest.mark.parametrize(("losses", "at_once"), [(1, 3), (2, 1)])
def test_second_loss_in_a_row_makes_messages_go_one_by_one(losses: int, at_once: int) -> None:
    """One lost connection says nothing of the messages that were in flight."""
    with MqttPeer(no_puback=True) as peer, sender(peer.port) as sending:
        sending.send(b"1", b"2", b"3")
        for loss in range(losses):
            poll(partial(_was_sent, peer, 3 * (loss + 1)))
            peer.most_in_flight = 0
            if loss == losses - 1:
                peer.no_puback, peer.ack_delay_seconds = False, 0.05
            peer.drop_connections()
        sending.await_empty()
    assert (peer.most_in_flight, sending.refused) == (at_once, [])


def test_messages_do_not_hurry_the_next_connection() -> None:
    """A broker that hangs up is tried after its pause, however much there is to say."""
    with MqttPeer() as peer, sender(peer.port) as sending:
        sending.delivery.wait_until_connected(5)
        peer.transport = "plaintext"
        peer.drop_connections()
        for payload in PAYLOADS[:200]:
            sending.send(payload)
            time.sleep(0.005)
        assert 2 <= peer.connections < 20


def test_denied_topic_is_refused_and_the_other_goes_on() -> None:
    """MQTT 5 tells which message was denied; nothing is resent."""
    with MqttPeer(puback_reasons={"no": 0x87}) as peer, sender(peer.port) as sending:
        sending.send(b"1", topic="no")
        sending.send(b"2", topic="yes")
        sending.await_empty()
    assert peer.payloads == [b"2"]
    assert [(m.topic, code, why) for m, code, why in sending.refused] == [
        ("no", 0x87, "0x87 Not authorized")
    ]
    assert len(peer.publishes) == 2


def test_broker_that_is_killed_and_comes_back_loses_nothing() -> None:
    """After a restart the rest is sent; at most one window may come twice."""
    with MqttPeer(ack_delay_seconds=0.002) as peer, sender(peer.port) as sending:
        sending.send(*PAYLOADS[:1000])
        poll(lambda: len(peer.acknowledged) > 200)
        peer.kill()
        sending.send(*PAYLOADS[1000:])
        peer.restart()
        sending.await_empty()
    assert _distinct(peer.payloads) == PAYLOADS
    assert len(peer.payloads) - len(PAYLOADS) <= 100
    assert sending.refused == []


def test_connection_dropped_again_and_again_loses_nothing() -> None:
    """A broker that drops the connection while it acknowledges only costs repetitions."""
    with MqttPeer() as peer, sender(peer.port) as sending:
        for start in range(0, 1000, 200):
            sending.send(*PAYLOADS[start : start + 200])
            poll(partial(_has, peer, start + 1))
            peer.drop_connections()
        sending.await_empty()
    assert sorted(_distinct(peer.payloads), key=int) == PAYLOADS[:1000]


def test_broker_that_stops_for_a_moment_loses_nothing() -> None:
    """A pause shorter than the stall limit is waited out on the same connection."""
    with MqttPeer() as peer, sender(peer.port) as sending:
        sending.delivery.wait_until_connected(5)
        peer.stop_reading()
        sending.send(*PAYLOADS[:500])
        time.sleep(0.5)
        peer.resume()
        sending.await_empty()
    assert (peer.payloads, len(peer.connects)) == (PAYLOADS[:500], 1)


def test_large_messages_go_on_when_the_broker_takes_them() -> None:
    """What the socket did not take waits for it, on the same connection."""
    with MqttPeer() as peer, sender(peer.port) as sending:
        sending.delivery.wait_until_connected(5)
        peer.stop_reading()
        sending.send(*[b"%d" % n + b"x" * 100_000 for n in range(70)])
        poll(lambda: sending.outbox.in_flight)
        time.sleep(0.2)  # until the socket is full
        peer.resume()
        sending.await_empty()
    assert [int(payload.rstrip(b"x")) for payload in peer.payloads] == list(range(70))
    assert len(peer.connects) == 1


def test_lost_connection_is_none() -> None:
    """While the next one is being made, nobody may wait for room."""
    with MqttPeer() as peer, sender(peer.port) as sending:
        sending.delivery.wait_until_connected(5)
        peer.transport = "black-hole"
        peer.drop_connections()
        poll(lambda: peer.connections == 2)
        assert not sending.delivery.connected
        assert sending.delivery.problem == "the broker closed the connection"
        peer.kill()


def test_broker_that_never_acknowledges_is_left_after_two_seconds() -> None:
    """Silence ends the connection, but is no reason to give a message up."""
    with MqttPeer(no_puback=True) as peer, sender(peer.port) as sending:
        sending.send(b"1")
        poll(lambda: len(peer.connects) == 2)
        assert sending.refused == []
        peer.no_puback = False
        sending.await_empty()
    assert peer.payloads == [b"1"]


@pytest.mark.slow
def test_broker_that_goes_on_to_be_silent_is_left_less_often() -> None:
    """A slow broker is not made slower by ever new connections; an acknowledgement ends that."""
    start = time.monotonic()
    with MqttPeer(no_puback=True) as peer, sender(peer.port) as sending:
        sending.send(b"1")
        poll(lambda: len(peer.connects) == 3)
        assert time.monotonic() - start >= 3 * STALL_SECONDS
        peer.no_puback = False
        sending.await_empty()
        assert sending.delivery.patience > STALL_SECONDS
        peer.drop_connections()
        poll(lambda: sending.delivery.patience == STALL_SECONDS)


def test_message_is_sent_at_once_after_a_pause() -> None:
    """A sleeping delivery is woken by a new message."""
    with MqttPeer() as peer, sender(peer.port) as sending:
        sending.delivery.wait_until_connected(5)
        for n in range(20):
            poll(lambda: sending.delivery.asleep)
            start = time.monotonic()
            sending.send(b"%d" % n)
            sending.await_empty()
            assert time.monotonic() - start < 5  # without being woken it sleeps until its next ping


def _processor_seconds(sending: Sender) -> float:
    number = sending.delivery._thread.native_id
    (spent,) = [one for one in psutil.Process().threads() if one.id == number]
    return float(spent.user_time + spent.system_time)


@pytest.mark.parametrize(
    "state", ["connected", "no keep-alive", "unacknowledged", "full window", "not taken", "absent"]
)
def test_waiting_costs_no_processor_time(state: str) -> None:
    """Whatever the delivery waits for, it sleeps: a second of it costs milliseconds."""
    with MqttPeer() as peer:
        peer.no_puback = state in {"unacknowledged", "full window"}
        peer.server_keep_alive = 0 if state == "no keep-alive" else None
        if state == "absent":
            peer.kill()
        with sender(peer.port) as sending:
            if state != "absent":
                sending.delivery.wait_until_connected(PATIENCE)
            if state == "not taken":
                peer.stop_reading()
                sending.send(*[b"x" * 100_000] * 70)
            elif state in {"unacknowledged", "full window"}:
                sending.send(*PAYLOADS[: 1 if state == "unacknowledged" else 200])
                poll(lambda: peer.publishes)
            time.sleep(0.2)  # what comes before the wait
            before = _processor_seconds(sending)
            time.sleep(1)
            assert _processor_seconds(sending) - before < 0.1


def test_refused_client_ends_the_delivery() -> None:
    """A refusal is final: nothing is tried again."""
    with MqttPeer(connack_reason=0x87) as peer, sender(peer.port) as sending:
        with pytest.raises(BrokerRefused, match="Not authorized"):
            sending.delivery.wait_until_connected(5)
        time.sleep(0.3)
    assert len(peer.connects) == 1


def test_absent_broker_is_said_in_time() -> None:
    """Waiting ends after the seconds given, with the address and the reason."""
    port = closed_port()
    with sender(port) as sending:
        poll(lambda: "refused" in sending.delivery.problem)
        start = time.monotonic()
        with pytest.raises(BrokerUnreachable, match=rf"127.0.0.1:{port} in [\d.]+ s: .*refused"):
            sending.delivery.wait_until_connected(0.3)
        assert time.monotonic() - start < 0.3 + BUSY


def test_late_broker_is_found_quickly() -> None:
    """A broker that starts half a second late is connected to soon after."""
    with MqttPeer() as peer:
        peer.kill()
        with sender(peer.port) as sending:
            time.sleep(0.5)
            peer.restart()
            start = time.monotonic()
            sending.delivery.wait_until_connected(PATIENCE)
            assert time.monotonic() - start < BUSY


def test_close_does_not_wait_for_a_handshake() -> None:
    """A thread that still waits for the broker is left behind."""
    with MqttPeer(transport="black-hole") as peer, sender(peer.port) as sending:
        poll(lambda: peer.connections)
        sending.delivery.close(0)
        assert sending.delivery._thread.is_alive()
        peer.kill()


def test_broker_that_restarts_during_a_handshake_is_connected_to() -> None:
    """A handshake that is waited for ends with its broker, and the next one begins."""
    with MqttPeer(transport="black-hole") as peer, sender(peer.port) as sending:
        poll(lambda: peer.connections)
        peer.kill()
        peer.transport = "tls"
        peer.restart()
        sending.delivery.wait_until_connected(PATIENCE)
        assert (peer.connections, len(peer.connects)) == (2, 1)


@pytest.mark.parametrize("fault", ["none", "stopped", "absent", "no_connack", "black-hole"])
def test_close_is_bounded(fault: str) -> None:
    """Closing takes no longer than it is given, whatever the broker does."""
    transport: Literal["black-hole", "tls"] = "black-hole" if fault == "black-hole" else "tls"
    with MqttPeer(no_connack=fault == "no_connack", transport=transport) as peer:
        if fault == "absent":
            peer.kill()
        with sender(peer.port) as sending:
            if fault in {"none", "stopped"}:
                sending.delivery.wait_until_connected(5)
            if fault == "stopped":
                peer.stop_reading()
                sending.send(*PAYLOADS[:100])
            start = time.monotonic()
            sending.delivery.close(0.2)
            assert time.monotonic() - start < 0.2 + BUSY
            peer.kill()  # ends a handshake that was left behind


@pytest.mark.parametrize("client_id", ["key\udcff", "k" * 70_000], ids=["no UTF-8", "too long"])
def test_thread_that_cannot_go_on_says_why(client_id: str) -> None:
    """An exception that nobody expects ends the delivery, and the run learns of it at once."""
    outbox = Outbox()
    with MqttPeer() as peer:
        address = BrokerAddress("127.0.0.1", peer.port, client_id, trusting_context())
        delivery = Delivery(outbox, address, lambda *_: None)
        with pytest.raises(BrokerError, match="the connection to the broker has failed: "):
            delivery.wait_until_connected(PATIENCE)
        delivery.close(PATIENCE)
    assert delivery.problem == str(delivery.fatal)
