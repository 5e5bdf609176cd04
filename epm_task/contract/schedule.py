"""Say whether a job's `schedule` makes sense, and when the job is due.

Times are the machine's local ones, compared as the wall shows them: an hour that a change to summer
time leaves out has no runs, one that comes twice has its runs twice. `runAt` may carry an offset.

The fields of `calendar` are not public. Ours: `times` (or `time`), each `HH:MM`; and to narrow the
days, `daysOfWeek` (English names, or 0 for Sunday), `daysOfMonth`, `months` (1 to 12).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from cronsim import CronSim, CronSimError

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.contract.names import LONGEST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: The event that is the start of the agent.
STARTUP: Final = "Startup"

#: cronsim also takes six fields (seconds); the agent takes five.
_CRON_FIELDS: Final = 5
_ANY_MOMENT: Final = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
#: A second; the vendor's own jobs use 0.5.
SHORTEST_MINUTES: Final = 1 / 60
#: A year: an interval that is longer is taken, and hardly meant.
LONGEST_MINUTES: Final = LONGEST_SECONDS // 60


def schedule_errors(doc: dict[str, Any]) -> list[str]:
    """Return what is wrong with the job's schedule.

    A job without one is right: events, the API, or another job's `alternateJobId` start it.
    """
    schedule = doc.get("schedule")
    if schedule is None:
        return []
    if not isinstance(schedule, dict):
        return ["schedule must be an object"]
    kinds = schedule_kinds(schedule)
    if not kinds and doc.get("events"):
        return []
    if len(kinds) != 1:
        found, names = " and ".join(kinds) or "none", ", ".join(SCHEDULE_KINDS)
        return [f"schedule must hold exactly one of {names}, or be left out: {found} found"]
    (kind,) = kinds
    why = kind_problem(kind, schedule[kind])
    return [f"schedule.{kind} {why}"] if why else []


def schedule_kinds(schedule: object) -> list[str]:
    """Return the kinds of schedule that the object holds; one is right."""
    held = schedule if isinstance(schedule, dict) else {}
    return [kind for kind in SCHEDULE_KINDS if held.get(kind) is not None]


def kind_problem(kind: str, value: object) -> str:
    """Return why *value* does not fit that kind of schedule; empty when it does."""
    return _KINDS[kind](value)


def is_startup(event: object) -> bool:
    """Return whether an entry of `events` names the start of the agent."""
    return _event_name(event) == STARTUP


def is_started_by(document: Mapping[str, Any], name: str) -> bool:
    """Return whether a job document, whatever it holds, names this event in `events`."""
    events = document.get("events")
    return isinstance(events, list) and name in map(_event_name, events)


def published_event(document: Mapping[str, Any], topic: str, payload: bytes) -> dict[str, Any]:
    """Return the event in a message on the `eventTopic` of a job; empty when it is none.

    The vendor states neither where an event is published nor its form. Ours: on that topic, a JSON
    object with the event's name as `eventType`. The start of the agent cannot be published.
    """
    if topic != (document.get("eventTopic") or f"Jobs/{document.get('id')}/events"):
        return {}
    try:
        event = parse_object(payload)
    except BadJson:
        return {}
    name = event.get("eventType")
    return event if isinstance(name, str) and name != STARTUP else {}


def _event_name(event: object) -> object:
    return event.get("eventType") if isinstance(event, dict) else event


def _interval(value: object) -> str:
    # A number with a fraction that was read from a file may be a float of its own kind.
    number = value if isinstance(value, int | float) and value is not True else 0
    fits = SHORTEST_MINUTES <= number < float("inf")
    return "" if fits else "must be a number of minutes, at least 0.017, which is a second"


def _cron(value: object) -> str:
    if not isinstance(value, str) or len(value.split()) != _CRON_FIELDS:
        return "must have five fields: minute hour day month weekday"
    try:
        CronSim(value, _ANY_MOMENT)
    except CronSimError as error:
        return f"{value!r} is not a cron expression: {error}"
    return ""


def _run_at(value: object) -> str:
    try:
        dt.datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        return "must be a text, a moment in ISO 8601, such as 2026-01-31T04:00:00Z"
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


_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def is_due(schedule: Mapping[str, Any], before: dt.datetime, minute: dt.datetime) -> bool:
    """Return whether a job is due at a full minute; an interval is not decided here.

    Both times are aware; *before* is the minute that was looked at before this one.

    Raises:
        ValueError: The schedule cannot be read.
    """
    local = minute.astimezone().replace(tzinfo=None)
    if cron := schedule.get("cronExpression"):
        return _cron_due(str(cron), local)
    if run_at := schedule.get("runAt"):
        moment = dt.datetime.fromisoformat(str(run_at)).astimezone()
        return before < moment <= minute
    if calendar := schedule.get("calendar"):
        entries = calendar if isinstance(calendar, list) else [calendar]
        return any(_calendar_due(entry, local) for entry in entries)
    return False


def _cron_due(expression: str, local: dt.datetime) -> bool:
    try:
        return next(CronSim(expression, local - dt.timedelta(minutes=1)), None) == local
    except CronSimError as error:
        raise ValueError(f"{expression!r} is not a cron expression: {error}") from error


def _calendar_due(entry: Mapping[str, Any], local: dt.datetime) -> bool:
    times = _listed(entry.get("times") or entry.get("time"))
    if not times:
        raise ValueError('a calendar needs "times", each HH:MM')
    day = (local.weekday() + 1) % 7  # Python counts from Monday
    days = [_day_number(name) for name in _listed(entry.get("daysOfWeek"))]
    return (
        f"{local:%H:%M}" in {str(time).strip().zfill(5) for time in times}
        and (not days or day in days)
        and _allows(entry.get("daysOfMonth"), local.day)
        and _allows(entry.get("months"), local.month)
    )


def _allows(numbers: object, value: int) -> bool:
    listed = _listed(numbers)
    return not listed or value in {int(number) for number in listed}


def _day_number(day: object) -> int:
    text = str(day).casefold()
    if text.isdecimal():
        return int(text) % 7
    if text[:3] not in _DAYS:
        raise ValueError(f"{day!r} is not a day of the week")
    return _DAYS.index(text[:3])


def _listed(value: object) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)
