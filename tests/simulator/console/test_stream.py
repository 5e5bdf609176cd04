"""Tests of the events: nothing is missed, nothing grows, and few writes carry many events."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import PATIENCE
from simulator.console.visitor import Visitor

from epm_task.simulator.console.stream import MOST_EVENTS, WRITE_SECONDS

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from epm_task.testing import Agent


@pytest.fixture
def visitor(agent: Agent) -> Iterator[Visitor]:
    """A browser that was let in."""
    assert agent.console
    with Visitor(agent.console) as visitor:
        yield visitor


def tell(agent: Agent, count: int, content: Any = None) -> int:
    """Add events, and return the number of the last."""
    assert agent.console
    stream = agent.console.observer.stream

    def _add() -> int:
        for number in range(count):
            stream.add("told", content or number)
        return stream.last_id

    return agent.call_in_loop(_add)


def test_reconnect_misses_nothing(agent: Agent, visitor: Visitor) -> None:
    """A page that was away gets what came meanwhile, by the header that its browser sends."""
    before = visitor.state()["lastId"]
    tell(agent, 3)
    first = visitor.until(before, lambda event: event.data == 1)
    last = tell(agent, 500)
    with visitor.stream(before, **{"Last-Event-ID": str(first[-1].number)}) as events:
        rest = [next(events) for _ in range(last - first[-1].number)]
    numbers = [event.number for event in (*first, *rest)]
    assert numbers == list(range(before + 1, last + 1))


@pytest.mark.parametrize("after", ["0", "99999999", "-1", "", "²", "x", "9" * 400])
def test_page_that_was_away_too_long_starts_again(
    agent: Agent, visitor: Visitor, after: str
) -> None:
    """What is not kept any more, and a number that was never given, is answered with `reset`."""
    last = tell(agent, MOST_EVENTS + 1)
    with visitor.stream(after) as events:
        reset = next(events)
        tell(agent, 1)
        assert (reset.kind, reset.number, next(events).number) == ("reset", last, last + 1)


def test_many_events_are_few_writes(agent: Agent, visitor: Visitor) -> None:
    """What 50 runs in a second say is written ten times in a second."""
    last = visitor.state()["lastId"]
    connection = visitor.connection(f"events?after={last}")
    began = time.monotonic()
    for _ in range(60):
        last = tell(agent, 10)
        time.sleep(0.01)
    seconds = time.monotonic() - began
    data = read_until(connection, b"id: %d\n" % last)
    chunks = re.findall(rb"\r\n[0-9a-f]+\r\n", data)
    assert 2 <= len(chunks) <= 2 + (seconds + WRITE_SECONDS) / WRITE_SECONDS
    assert data.count(b"event: told") == 600


def test_slow_page_gets_no_queue_of_its_own(agent: Agent, visitor: Visitor) -> None:
    """A page that reads nothing, and then reads on, gets the last events and not all of them."""
    large = "x" * (128 << 10)
    last = visitor.state()["lastId"]
    connection = visitor.connection(f"events?after={last}")
    for _ in range(32):
        last = tell(agent, 32, large)
    assert visitor.until(last - 1, bool)[0].number == last  # others are served meanwhile
    # The reset comes when the stream can be written to again, so others may follow.
    data = read_until(connection, b"id: %d\n" % last)
    assert b"event: reset" in data
    assert len(data) < 1024 * len(large) / 2


def test_what_json_cannot_say(agent: Agent, visitor: Visitor) -> None:
    """NaN, which browsers refuse, becomes text; a secret that the agent knows is masked."""
    agent.trace.secrets.add(["hunter2-hunter2"])
    last = tell(agent, 1, {"value": float("nan"), "text": "it is hunter2-hunter2\u2028"})
    (event,) = visitor.until(last - 1, bool)
    assert event.data == {"value": "NaN", "text": "it is ********\u2028"}


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Read up to a text, and hang up."""
    data, seen = bytearray(), 0
    deadline = time.monotonic() + PATIENCE
    with connection:
        while data.find(end, max(0, seen - len(end))) < 0:
            assert time.monotonic() < deadline
            seen = len(data)
            data += connection.recv(1 << 20)
            assert len(data) > seen, "the stream has ended"
    return bytes(data)
