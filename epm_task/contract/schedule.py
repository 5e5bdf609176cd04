"""The schedule rules say when a job's `schedule` and `events` make sense."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Callable

#: cronsim also takes six fields (seconds); the agent takes five.
_CRON_FIELDS: Final = 5
_ANY_MOMENT: Final = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def schedule_errors(doc: dict[str, Any]) -> list[str]:
    """Return what is wrong with the job's schedule and events.

    A job with neither is right: the API, or another job's `alternateJobId`, starts it.
    """
    events, schedule = doc.get("events"), doc.get("schedule")
    errors = event_errors(events)
    if schedule is None:
        return errors
    if not isinstance(schedule, dict):
        return [*errors, "schedule must be an object"]
    kinds = schedule_kinds(schedule)
    if not kinds and events:
        return errors
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        names = ", ".join(SCHEDULE_KINDS)
        return [
            *errors,
            f"schedule must hold exactly one of {names}, or be left out: {found} found",
        ]
    (kind,) = kinds
    why = kind_problem(kind, schedule[kind])
    return [*errors, f"schedule.{kind} {why}"] if why else errors


def schedule_kinds(schedule: object) -> list[str]:
    """Return the kinds of schedule that the object holds; one is right."""
    held = schedule if isinstance(schedule, dict) else {}
    return [kind for kind in SCHEDULE_KINDS if held.get(kind) is not None]


def kind_problem(kind: str, value: object) -> str:
    """Return why *value* is no value for that kind of schedule; empty when it is one."""
    return _KINDS[kind](value)


def is_startup(event: object) -> bool:
    """Return whether an entry of `events` names the start of the agent."""
    name = event.get("eventType") if isinstance(event, dict) else event
    return name == "Startup"


def event_errors(events: object) -> list[str]:
    """Return what is wrong with the job's `events`."""
    if events is None:
        return []
    if not isinstance(events, list):
        return ["events must be an array"]
    return [
        f'events[{index}] must be {{"eventType": "…"}} or an event name'
        for index, event in enumerate(events)
        if not isinstance(event.get("eventType") if isinstance(event, dict) else event, str)
    ]


def _interval(value: object) -> str:
    whole = type(value) is int and value >= 1
    return "" if whole else "must be a whole number of minutes, at least 1"


def _cron(value: object) -> str:
    if not isinstance(value, str) or len(value.split()) != _CRON_FIELDS:
        return "must have five fields: minute hour day month weekday"
    try:
        CronSim(value, _ANY_MOMENT)
    except CronSimError as error:
        return f"{value!r} is no cron expression: {error}"
    return ""


def _run_at(value: object) -> str:
    try:
        dt.datetime.fromisoformat(str(value))
    except ValueError:
        return "must be a moment in ISO 8601, such as 2026-01-31T04:00:00Z"
    return ""


def _calendar(value: object) -> str:
    # The vendor names the calendar and not its fields, so nothing inside it is checked.
    return "" if isinstance(value, dict | list) and value else "must be an object that is not empty"


_KINDS: Final[dict[str, Callable[[object], str]]] = {
    "intervalMinutes": _interval,
    "cronExpression": _cron,
    "runAt": _run_at,
    "calendar": _calendar,
}

#: In the order in which a document is asked for them.
SCHEDULE_KINDS: Final = tuple(_KINDS)
