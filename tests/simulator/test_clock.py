"""Tests of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from epm_task.simulator.clock import Clock, full_minute

_START = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


def test_clock_runs_on():
    """The clock starts where it is told, and follows the machine."""
    machine = [1000.0]
    clock = Clock(_START, seconds=lambda: machine[0])
    machine[0] += 5
    assert clock.now() == _START + timedelta(seconds=5)


def test_machine_time_by_default():
    """Without a start it is the machine's time."""
    assert abs(Clock().now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_advance_passes_every_full_minute():
    """Listeners see each minute on the way, and the clock then."""
    clock = Clock(_START, seconds=lambda: 0.0)
    seen: list[datetime] = []

    def listener(minute: datetime) -> None:
        seen.append(minute)
        assert clock.now() == minute

    clock.on_minute(listener)
    clock.advance(minutes=3, seconds=-30)
    assert seen == [_START + timedelta(seconds=30 + 60 * n) for n in range(3)]
    assert clock.now() == _START + timedelta(minutes=2, seconds=30)


def test_clock_does_not_go_back():
    """A step back is refused."""
    with pytest.raises(ValueError, match="forward only"):
        Clock(_START).advance(minutes=-1)


def test_full_minute():
    """Seconds are cut off."""
    assert full_minute(_START) == _START - timedelta(seconds=30)
