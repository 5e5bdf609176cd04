"""Tests of schedules and events."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from epm_task.contract.schedule import (
    ClockChange,
    changed_runs,
    clock_changes,
    is_due,
    is_startup,
    schedule_errors,
)

if TYPE_CHECKING:
    from collections.abc import Callable


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
        *(
            ({"schedule": {"intervalMinutes": value}}, "must be a number of minutes, at least")
            for value in (0, 0.01, -1, True, "5", [5], float("nan"), float("inf"))
        ),
        ({"schedule": {"cronExpression": "0 0 31 2 *"}}, "is not a cron expression"),
        ({"schedule": {"runAt": 20260131}}, "must be a text"),
        ({"schedule": {"cronExpression": "0 * * * * *"}}, "five fields"),
        ({"schedule": {"cronExpression": 5}}, "five fields"),
        ({"schedule": {"cronExpression": "61 * * * *"}}, "is not a cron expression: Bad minute"),
        ({"schedule": {"runAt": "tomorrow"}}, "ISO 8601"),
        ({"schedule": {"calendar": {}}}, "not empty"),
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


def _due(schedule: dict[str, Any], local: str, *, gap_minutes: int = 1) -> bool:
    minute = datetime.fromisoformat(local).astimezone(UTC)
    return is_due(schedule, minute - timedelta(minutes=gap_minutes), minute)


@pytest.mark.parametrize(
    ("expression", "local", "due"),
    [
        ("*/15 * * * *", "2026-03-02T10:15", True),
        ("*/15 * * * *", "2026-03-02T10:16", False),
        ("0 4 * * 0", "2026-03-01T04:00", True),
        ("0 4 * * 7", "2026-03-01T04:00", True),
        ("0 4 * * 0", "2026-03-02T04:00", False),
        ("0 4 13 * 5", "2026-03-06T04:00", True),
        ("0 4 13 * 5", "2026-03-13T04:00", True),
        ("0 4 13 * 5", "2026-04-13T04:00", True),
        ("0 0 29 2 *", "2026-02-28T00:00", False),
    ],
)
def test_cron(expression: str, local: str, due: bool) -> None:  # noqa: FBT001 - a table of cases
    """Weekday 0 is Sunday, and a day of the month beside a weekday means either."""
    assert _due({"cronExpression": expression}, local) is due


def test_run_at_is_due_once() -> None:
    """A single run comes at its minute, also when the minutes before it were missed."""
    schedule = {"runAt": "2026-03-02T10:15:20"}
    assert not _due(schedule, "2026-03-02T10:15")
    assert _due(schedule, "2026-03-02T10:16")
    assert not _due(schedule, "2026-03-02T10:17")
    assert _due(schedule, "2026-03-02T12:00", gap_minutes=600)


def test_run_at_with_an_offset() -> None:
    """A moment with an offset is that moment, wherever the machine is."""
    minute = datetime(2026, 3, 2, 10, 16, tzinfo=UTC)
    schedule = {"runAt": "2026-03-02T12:16:00+02:00"}
    assert is_due(schedule, minute - timedelta(minutes=1), minute)


@pytest.mark.parametrize(
    ("calendar", "local", "due"),
    [
        ({"times": ["04:00", "16:00"]}, "2026-03-02T16:00", True),
        ({"time": "4:00"}, "2026-03-02T04:00", True),
        ({"times": ["04:00"]}, "2026-03-02T04:01", False),
        ({"time": "04:00", "daysOfWeek": ["Monday", "fri"]}, "2026-03-02T04:00", True),
        ({"time": "04:00", "daysOfWeek": [0]}, "2026-03-02T04:00", False),
        ({"time": "04:00", "daysOfMonth": [1, 15]}, "2026-03-15T04:00", True),
        ({"time": "04:00", "daysOfMonth": 1, "months": [4]}, "2026-03-01T04:00", False),
        ([{"time": "04:00"}, {"time": "05:00"}], "2026-03-02T05:00", True),
    ],
)
def test_calendar(calendar: object, local: str, due: bool) -> None:  # noqa: FBT001 - a table of cases
    """Times, narrowed by days and months."""
    assert _due({"calendar": calendar}, local) is due


@pytest.mark.parametrize(
    "schedule",
    [
        {"cronExpression": "61 * * * *"},
        {"cronExpression": "0 0 30 2 *"},
        {"runAt": "soon"},
        {"calendar": {"daysOfWeek": ["Monday"]}},
        {"calendar": {"time": "04:00", "daysOfWeek": ["Blursday"]}},
    ],
)
def test_schedule_that_cannot_be_read(schedule: dict[str, Any]) -> None:
    """The error says what is wrong."""
    with pytest.raises(ValueError, match=r"\w"):
        _due(schedule, "2026-03-02T04:00")


def test_nothing_is_due_without_a_schedule() -> None:
    """A job of events only, or of an interval, is not decided here."""
    assert not _due({}, "2026-03-02T04:00")
    assert not _due({"intervalMinutes": 1}, "2026-03-02T04:00")


NEW_YORK = "EST5EDT,M3.2.0,M11.1.0"
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
HAVANA = "CST5CDT,M3.2.0/0,M11.1.0/1"
SANTIAGO = "<-04>4<-03>,M9.1.6/24,M4.1.6/24"
LORD_HOWE = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"
MIDSUMMER = datetime(2026, 6, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "skipped", "doubled"),
    [
        (NEW_YORK, "2027-03-14 02:00 03:00", "2026-11-01 01:00 02:00"),
        (BERLIN, "2027-03-28 02:00 03:00", "2026-10-25 02:00 03:00"),
        (HAVANA, "2027-03-14 00:00 01:00", "2026-11-01 00:00 01:00"),
        (SANTIAGO, "2026-09-06 00:00 01:00", "2027-04-03 23:00 00:00"),
        (LORD_HOWE, "2026-10-04 02:00 02:30", "2027-04-04 01:30 02:00"),
    ],
)
def test_clock_changes(
    time_zone: Callable[[str], None], zone: str, skipped: str, doubled: str
) -> None:
    """What the wall leaves out and what it shows twice, also at midnight and by half an hour."""
    time_zone(zone)
    found = {
        change.twice: f"{change.start:%Y-%m-%d %H:%M} {change.end:%H:%M}"
        for change in clock_changes(MIDSUMMER)
    }
    assert found == {False: skipped, True: doubled}


@pytest.mark.parametrize("zone", ["UTC", "IST-5:30"])
def test_a_zone_without_changes(time_zone: Callable[[str], None], zone: str) -> None:
    """Then nothing is left out and nothing comes twice."""
    time_zone(zone)
    assert list(clock_changes(MIDSUMMER)) == []


@pytest.mark.parametrize(
    ("schedule", "skipped", "doubled"),
    [
        ({"cronExpression": "30 2 * * *"}, "02:30", "02:30"),
        ({"cronExpression": "*/20 1-3 * * 0"}, "02:00 02:20 02:40", "02:00 02:20 02:40"),
        ({"cronExpression": "15 */2 * * *"}, "02:15", "02:15"),
        ({"cronExpression": "0 2 * 3 *"}, "02:00", ""),
        ({"cronExpression": "0 2 * * 1"}, "", ""),
        ({"cronExpression": "0 3 * * *"}, "", ""),
        ({"cronExpression": "59 1 * * *"}, "", ""),
        ({"cronExpression": "*/5 * * * *"}, "", ""),
        ({"cronExpression": "0 0-23 * * *"}, "", ""),
        ({"runAt": "2027-03-28T02:30:00"}, "02:30", ""),
        ({"runAt": "2026-10-25T02:30"}, "", "02:30"),
        ({"runAt": "2027-03-28T02:30:00+01:00"}, "", ""),
        ({"runAt": "2027-03-28T02:30:00Z"}, "", ""),
        ({"calendar": {"times": ["02:30", "04:00"]}}, "02:30", "02:30"),
        ({"calendar": {"time": "02:30", "months": 3}}, "02:30", ""),
        ({"calendar": {"days": "unknown"}}, "", ""),
        ({"cronExpression": "61 2 * * *"}, "", ""),
        ({"intervalMinutes": 60}, "", ""),
    ],
)
def test_runs_in_an_hour_that_changes(schedule: dict[str, Any], skipped: str, doubled: str) -> None:
    """Runs of that very hour, in Berlin; a job that runs in every hour misses nothing."""
    days = {False: date(2027, 3, 28), True: date(2026, 10, 25)}
    found = {}
    for twice, day in days.items():
        start, end = (datetime.combine(day, hour) for hour in (time(2), time(3)))
        runs = changed_runs(schedule, ClockChange(start, end, twice))
        found[twice] = " ".join(f"{run:%H:%M}" for run in runs)
    assert found == {False: skipped, True: doubled}


@pytest.mark.parametrize(
    ("run_at", "utc"),
    [
        ("2027-03-28T02:30:00", "2027-03-28T01:30"),
        ("2026-10-25T02:30:00", "2026-10-25T00:30"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30"),
    ],
)
def test_run_at_when_clocks_change(time_zone: Callable[[str], None], run_at: str, utc: str) -> None:
    """Once: so long after the change as it was meant, or the first of two; an offset decides."""
    time_zone(BERLIN)
    begin = datetime.fromisoformat(f"{run_at[:10]}T00:00Z")
    minutes = [begin + timedelta(minutes=number) for number in range(5 * 60)]
    step = timedelta(minutes=1)
    due = [f"{now:%FT%H:%M}" for now in minutes if is_due({"runAt": run_at}, now - step, now)]
    assert due == [utc]
