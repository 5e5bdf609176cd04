"""Tests of the outbox: bounded, in order, and safe to use from any thread."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from peers.patience import PATIENCE

from epm_task.runtime.log.outbox import Message, Outbox

if TYPE_CHECKING:
    from collections.abc import Callable


def message(number: int = 0, size: int = 10) -> Message:
    """Return a message of this payload size."""
    return Message("KeeperLogger", b"%d".ljust(size) % number)


def filled(count: int) -> Outbox:
    """Return an outbox with this many waiting messages."""
    outbox = Outbox()
    assert all(outbox.offer(message(number), 0) for number in range(count))
    return outbox


def test_new_outbox_is_empty() -> None:
    """Nothing waits, nothing flies, nothing was acknowledged."""
    outbox = Outbox()
    assert (outbox.empty, outbox.waiting, outbox.in_flight, outbox.acknowledged) == (True, 0, 0, 0)


@pytest.mark.parametrize(("window", "taken"), [(0, 0), (3, 3), (10, 5)])
def test_window_bounds_the_flight(window: int, taken: int) -> None:
    """No more messages fly than the window has room for."""
    outbox = filled(5)
    assert len(outbox.take(window)) == taken
    assert outbox.take(window) == []
    assert (outbox.in_flight, outbox.waiting) == (taken, 5 - taken)


def test_narrower_window_takes_nothing_back() -> None:
    """After a reconnection with a smaller window, what flies goes on flying."""
    outbox = filled(5)
    outbox.take(4)
    assert outbox.take(2) == []
    assert outbox.in_flight == 4


def test_acknowledged_messages_make_room() -> None:
    """An acknowledgement frees the memory of its message."""
    outbox = Outbox(limit_bytes=2 * message().size)
    assert outbox.offer(message(1), 0)
    assert outbox.offer(message(2), 0)
    assert not outbox.offer(message(3), 0)
    ((packet_id, _), _) = outbox.take(2)
    assert outbox.settle([packet_id, 999]) == 1
    assert outbox.offer(message(3), 0)
    assert outbox.acknowledged == 1


def test_message_counts_with_its_overhead() -> None:
    """The limit is one of memory: an empty payload takes some too."""
    outbox = Outbox(limit_bytes=1000)
    accepted = 0
    while outbox.offer(Message("t", b""), 0):
        accepted += 1
    assert accepted == 3


def test_acknowledgement_is_counted_once() -> None:
    """A broker that acknowledges twice does not free memory twice."""
    outbox = filled(1)
    ((packet_id, _),) = outbox.take(1)
    assert outbox.settle([packet_id, packet_id]) == 1
    assert outbox.settle([packet_id]) == 0
    assert outbox.acknowledged == 1


def test_full_outbox_waits_for_room() -> None:
    """A log call waits, and goes on as soon as the broker acknowledges."""
    outbox = Outbox(limit_bytes=message().size)
    outbox.offer(message(1), 0)
    ((packet_id, _),) = outbox.take(1)
    timer = threading.Timer(0.05, outbox.settle, [[packet_id]])
    timer.start()
    start = time.monotonic()
    assert outbox.offer(message(2), PATIENCE)
    assert 0.03 < time.monotonic() - start < PATIENCE / 2
    timer.join()


def test_full_outbox_waits_no_longer_than_told() -> None:
    """Without an acknowledgement the patience ends."""
    outbox = Outbox(limit_bytes=message().size)
    outbox.offer(message(1), 0)
    start = time.monotonic()
    assert not outbox.offer(message(2), 0.05)
    assert 0.04 < time.monotonic() - start < PATIENCE / 2


def test_waiting_offer_ends_when_everything_is_taken() -> None:
    """Who waits for room while the run ends is told at once that nobody will look."""
    outbox = Outbox(limit_bytes=message().size)
    outbox.offer(message(1), 0)
    threading.Timer(0.05, outbox.take_all).start()
    start = time.monotonic()
    assert not outbox.offer(message(2), PATIENCE)
    assert time.monotonic() - start < PATIENCE / 2


def test_closed_outbox_accepts_nothing() -> None:
    """After everything was taken, an offer is refused rather than forgotten."""
    outbox = filled(1)
    assert outbox.take_all() == [message(0)]
    assert not outbox.offer(message(1), 0)
    assert outbox.empty


def test_everything_is_taken_in_order() -> None:
    """What flew comes before what waited."""
    outbox = filled(4)
    outbox.take(2)
    assert outbox.take_all() == [message(number) for number in range(4)]


def test_lost_connection_puts_messages_back_in_order() -> None:
    """After a reconnection the messages go out in their first order, under new packet ids."""
    outbox = filled(4)
    first = outbox.take(2)
    assert outbox.put_back() == 2
    again = outbox.take(4)
    assert [m for _, m in again] == [message(number) for number in range(4)]
    assert not {p for p, _ in first} & {p for p, _ in again}


def test_refused_message_is_withdrawn() -> None:
    """A message that the broker refuses leaves the outbox, and is no acknowledged one."""
    outbox = filled(2)
    ((packet_id, sent),) = outbox.take(1)
    assert outbox.withdraw(packet_id) == sent
    assert outbox.withdraw(packet_id) is None
    assert (outbox.in_flight, outbox.waiting, outbox.acknowledged) == (0, 1, 0)


def test_oldest_is_found_first() -> None:
    """A message that a broker never acknowledges is found by its age, and stays until withdrawn."""
    outbox = filled(3)
    outbox.take(2)
    found = []
    while packet_id := outbox.oldest():
        found.append(outbox.find(packet_id))
        assert outbox.withdraw(packet_id) == found[-1]
        assert outbox.find(packet_id) is None
    assert found == [message(0), message(1)]


def test_packet_ids_begin_again_after_the_last() -> None:
    """Packet ids are 1 to 65000, and one that is in flight is passed over."""
    outbox = filled(1)
    ((kept, _),) = outbox.take(1)
    seen = []
    for _ in range(65_000):
        outbox.offer(message(), 0)
        ((packet_id, _),) = outbox.take(2)
        outbox.settle([packet_id])
        seen.append(packet_id)
    assert kept == 1
    assert seen[:2] == [2, 3]
    assert seen[-2:] == [65_000, 2]


def test_threads_lose_nothing() -> None:
    """Eight threads offer while one takes and settles: every message is seen once."""
    outbox = Outbox(limit_bytes=20_000)
    seen: list[Message] = []

    def offer(worker: int) -> None:
        for number in range(200):
            assert outbox.offer(message(worker * 1000 + number), PATIENCE)

    threads = [threading.Thread(target=offer, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE
    while len(seen) < 1600 and time.monotonic() < until:
        taken = outbox.take(20)
        seen += [m for _, m in taken]
        outbox.settle(packet_id for packet_id, _ in taken)
    for thread in threads:
        thread.join()
    expected = [message(worker * 1000 + number) for worker in range(8) for number in range(200)]
    assert sorted(one.payload for one in seen) == sorted(one.payload for one in expected)
    assert (outbox.empty, outbox.acknowledged) == (True, 1600)


@pytest.mark.parametrize(
    "action",
    [
        lambda outbox: outbox.offer(message(), 0),
        lambda outbox: outbox.take(2),
        lambda outbox: outbox.settle([1]),
        lambda outbox: outbox.withdraw(1),
        lambda outbox: outbox.put_back(),
        lambda outbox: outbox.take_all(),
    ],
    ids=["offer", "take", "settle", "withdraw", "put_back", "take_all"],
)
def test_only_one_thread_changes_it_at_a_time(action: Callable[[Outbox], object]) -> None:
    """Every change waits until the one under way is done."""
    outbox = filled(2)
    outbox.take(1)
    changing = threading.Thread(target=action, args=(outbox,))
    with outbox.changed:
        changing.start()
        changing.join(0.1)
        assert (outbox.waiting, outbox.in_flight) == (1, 1)
        assert changing.is_alive()
    changing.join(PATIENCE)
    assert (outbox.waiting, outbox.in_flight) != (1, 1)
