"""Tests of a declaration: the deadline that follows from it, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from epm_task.runtime.declaration import Declaration, check_declaration, check_schedule


def declaration(**facts: Any) -> Declaration:
    """Return a declaration with these facts."""
    return Declaration(job_id="a", job_name="A", description="", **facts)


@pytest.mark.parametrize(
    ("timeout", "deadline"), [(None, None), (600, 570), (60, 50), (10, 5), (1, 0.5), (100, 90)]
)
def test_deadline_lies_below_the_time_out(timeout: float | None, deadline: float | None) -> None:
    """A task stops itself 10 s or 5 % before its time-out, or at half of a short one."""
    assert declaration(timeout_seconds=timeout).own_deadline_seconds == deadline


@pytest.mark.parametrize(
    "facts",
    [
        {"broker": "maybe"},
        {"mirror": "loud"},
        {"priority": 0},
        {"priority": 11},
        {"timeout_seconds": 0},
        {"timeout_seconds": float("inf")},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": 10**11},
        {"timeout_seconds": 10**400},
        {"timeout_seconds": "60"},
        {"timeout_seconds": True},
        {"every_minutes": 0},
        {"every_minutes": 0.01},
        {"every_minutes": 10**12},
        {"every_minutes": float("nan")},
        {"priority": 5.0},
        {"command": 5},
        {"strict_logs": "no"},
        {"run_at": datetime(2027, 1, 1, tzinfo=UTC)},
        {"cron": 5},
        {"every_minutes": 5, "cron": "* * * * *"},
    ],
)
def test_impossible_fact_is_refused(facts: dict[str, Any]) -> None:
    """What the agent would not take is refused when the module is imported."""
    with pytest.raises(ValueError, match=next(iter(facts))):
        check_declaration(declaration(**facts))


@pytest.mark.parametrize(
    "facts",
    [
        {"cron": "every day"},
        {"cron": "0 0 * * * *"},
        {"cron": "61 * * * *"},
        {"cron": "0 0 31 2 *"},
        {"run_at": "tomorrow"},
    ],
)
def test_schedule_that_nobody_can_read_is_refused(facts: dict[str, Any]) -> None:
    """As the agent and the lints refuse it."""
    check_declaration(declaration(**facts))
    with pytest.raises(ValueError, match=next(iter(facts))):
        check_schedule(declaration(**facts))


@pytest.mark.parametrize("name", ["publishes", "subscribes", "event_topic"])
def test_name_is_no_topic(name: str) -> None:
    """A topic is declared with the type of its payload, not as a text."""
    wrong = "Jobs/a" if name == "event_topic" else ("Jobs/a",)
    with pytest.raises(ValueError, match="must be a Topic"):
        check_declaration(declaration(**{name: wrong}))


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"priority": 1},
        {"priority": 10},
        {"every_minutes": 1},
        {"every_minutes": 0.5},
        {"every_minutes": 1 / 60},
        {"every_minutes": 366 * 24 * 60},
        {"cron": "* * * * *"},
        {"run_at": "2026-01-31T12:00:00"},
        {"timeout_seconds": 0.1},
    ],
)
def test_possible_declaration_is_fine(facts: dict[str, Any]) -> None:
    """The defaults are possible, and so is the outermost value of each range."""
    check_declaration(declaration(**facts))
