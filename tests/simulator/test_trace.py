"""Tests of the trace."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from epm_task.simulator.start_error import FileUnwritable
from epm_task.simulator.trace import LineFile, Trace

#: Linux has a device on which each write finds no room.
FULL = Path("/dev/full")


def test_an_event_carries_sentence_reason_and_facts() -> None:
    """What was added can be read back, and reads as one sentence."""
    trace = Trace()
    event = trace.add(
        "api", "answered", "GET / -> 403", denied=True, reason="not launched", status=403
    )
    assert list(trace) == [event]
    assert str(event) == "GET / -> 403: not launched"
    assert event.facts == {"status": 403}


def test_an_event_without_a_reason_reads_as_its_sentence() -> None:
    """No colon comes at the end when nothing follows it."""
    assert str(Trace().add("job", "loaded", "job a started")) == "job a started"


def test_an_event_can_be_written_as_json() -> None:
    """The document of an event is one JSON object."""
    document = Trace().add("mqtt", "dropped", "no room", topic="a/b").document()
    assert list(document) == ["at", "kind", "action", "what", "denied", "reason", "facts"]
    assert json.loads(json.dumps(document))["facts"] == {"topic": "a/b"}


def test_denials_are_the_refused_events_only() -> None:
    """Decisions that let something through are not denials."""
    trace = Trace()
    trace.add("api", "answered", "allowed")
    denied = trace.add("api", "answered", "refused", denied=True)
    assert trace.denials == [denied]


def test_since_returns_what_was_added_after_the_mark() -> None:
    """A mark separates one run's events from those before."""
    trace = Trace()
    trace.add("job", "loaded", "before")
    mark = trace.mark()
    assert trace.since(mark) == []
    after = trace.add("job", "loaded", "after")
    assert trace.since(mark) == [after]


def test_since_works_when_old_events_are_forgotten() -> None:
    """The bound does not shift the marks."""
    trace = Trace(kept=3)
    mark = trace.mark()
    for number in range(10):
        trace.add("job", "loaded", str(number))
    assert [event.what for event in trace.since(mark)] == ["7", "8", "9"]
    assert len(trace) == 3


def test_a_listener_hears_events_until_it_unsubscribes() -> None:
    """Unsubscribing twice does no harm."""
    trace = Trace()
    heard: list[str] = []
    unsubscribe = trace.subscribe(lambda event: heard.append(event.what))
    trace.add("job", "loaded", "one")
    unsubscribe()
    unsubscribe()
    trace.add("job", "loaded", "two")
    assert heard == ["one"]


def test_reading_while_another_thread_adds_is_safe() -> None:
    """Iteration works on a copy."""
    trace = Trace(kept=100)
    stop = threading.Event()

    def add() -> None:
        while not stop.is_set():
            trace.add("job", "loaded", "x")

    writer = threading.Thread(target=add)
    writer.start()
    try:
        for _ in range(300):
            assert all(event.what == "x" for event in trace)
    finally:
        stop.set()
        writer.join()


def test_lines_are_whole_and_their_file_private(tmp_path: Path) -> None:
    """Whatever a text holds, and in a recording after the older one is gone."""
    path = tmp_path / "lines"
    for mode, count in (("ab", 1), ("ab", 2), ("wb", 1)):
        file = LineFile(path, Trace(), mode)  # type: ignore[arg-type]  # both are named
        file.write({"text": "\udcff\n", "path": tmp_path})
        file.close()
        assert len(path.read_bytes().splitlines()) == count
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileUnwritable, match=str(tmp_path.name)):
        LineFile(tmp_path, Trace(), "ab")


@pytest.mark.posix("a device is POSIX")
@pytest.mark.skipif(not FULL.exists(), reason="this system has no such device")
def test_a_full_disk_is_told_once() -> None:
    """Nobody who adds an event gets the error."""
    trace = Trace()
    file = LineFile(FULL, trace, "ab")
    trace.subscribe(lambda event: file.write(event.document()))
    for _ in range(3):
        trace.add("job", "loaded", "x")
    file.close()
    (told,) = [event for event in trace if event.action == "not_written"]
    assert str(told) == f"{FULL} is written no longer: No space left on device"
