"""Tests of schedules and events."""

from __future__ import annotations

from typing import Any

import pytest

from epm_task.contract.schedule import is_startup, schedule_errors


@pytest.mark.parametrize(
    "doc",
    [
        {"schedule": {"intervalMinutes": 1}},
        {"schedule": {"cronExpression": "*/5 0 1-3 * MON"}},
        {"schedule": {"runAt": "2026-01-31T04:00:00Z"}},
        {"schedule": {"calendar": {"days": ["Monday"]}}},
        {"schedule": {"intervalMinutes": 1, "cronExpression": None, "timezone": "UTC"}},
        {"events": [{"eventType": "Startup"}]},
        {"events": ["Startup"], "schedule": None},
        {"events": ["Startup"], "schedule": {"intervalMinutes": 60}},
        {},
    ],
)
def test_a_job_that_can_start_has_no_errors(doc: dict[str, Any]) -> None:
    """By one kind of schedule, by events, by both, or by the API alone."""
    assert schedule_errors(doc) == []


@pytest.mark.parametrize(
    ("doc", "why"),
    [
        ({"schedule": {}, "events": []}, "none found"),
        (
            {"schedule": {"intervalMinutes": 1, "runAt": "2026-01-31"}},
            "intervalMinutes and runAt found",
        ),
        ({"schedule": "daily"}, "schedule must be an object"),
        ({"schedule": {"intervalMinutes": 0}}, "whole number of minutes"),
        ({"schedule": {"intervalMinutes": True}}, "whole number of minutes"),
        ({"schedule": {"intervalMinutes": "5"}}, "whole number of minutes"),
        ({"schedule": {"cronExpression": "0 * * * * *"}}, "five fields"),
        ({"schedule": {"cronExpression": 5}}, "five fields"),
        ({"schedule": {"cronExpression": "61 * * * *"}}, "is no cron expression: Bad minute"),
        ({"schedule": {"runAt": "tomorrow"}}, "ISO 8601"),
        ({"schedule": {"calendar": {}}}, "not empty"),
        ({"events": "Startup"}, "events must be an array"),
        ({"events": [{"type": "Startup"}]}, "events[0]"),
        ({"events": [1]}, "events[0]"),
    ],
)
def test_a_job_that_cannot_start_says_why(doc: dict[str, Any], why: str) -> None:
    """The sentence names the field."""
    assert any(why in error for error in schedule_errors(doc))


def test_startup_has_two_spellings() -> None:
    """As an object, and as a plain name."""
    assert is_startup({"eventType": "Startup"})
    assert is_startup("Startup")
    assert not is_startup("Other")
