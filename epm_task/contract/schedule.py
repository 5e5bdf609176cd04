"""Say whether a job's `schedule` makes sense, and when the job is due.

Times are the machine's local ones, compared as the wall shows them: an hour that a change to summer
time leaves out has no runs, one that comes twice has its runs twice. `runAt` may carry an offset;
without one, a time that is left out is the moment so long after the change, and one that comes
twice is the first.

The fields of `calendar` are not public. Ours: `times` (or `time`), each `HH:MM`; and to narrow the
days, `daysOfWeek` (English names, or 0 for Sunday), `daysOfMonth`, `months` (1 to 12).
"""

from __future__ import annotations

import datetime as dt
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cronsim import CronSim, CronSimError

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.contract.names import EVENT_TYPE, LONGEST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: The event that is the start of the agent.
STARTUP: Final = "Startup"

#: cronsim also takes six fields (seconds); the agent takes five.
_CRON_FIELDS: Final = 5
_ANY_MOMENT: Final = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
#: A second; the vendor's own jobs use 0.5.
SHORTEST_MINUTES: Final = 1 / 60
#: A year: an interval that is longer is taken, and hardly meant.
LONGEST_MINUTES: Final = LONGEST_SECONDS // 60

#: A zone that changes its clocks does so in every year.
_YEAR_DAYS: Final = 366
_HOURS: Final = 24
_MINUTE: Final = dt.timedelta(minutes=1)


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
    return event_name(event) == STARTUP


def is_started_by(document: Mapping[str, Any], name: str) -> bool:
    """Return whether a job document, whatever it holds, names this event in `events`."""
    events = document.get("events")
    return isinstance(events, list) and name in map(event_name, events)


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
    name = event.get(EVENT_TYPE)
    return event if isinstance(name, str) and name != STARTUP else {}


def event_name(event: object) -> object:
    """Return the name in an entry of `events`, which is an object or the name itself."""
    return event.get(EVENT_TYPE) if isinstance(event, dict) else event


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
        moment = dt.datetime.fromisoformat(str(run_at))
        due = moment.astimezone()
        if moment.tzinfo is None and due.replace(tzinfo=None) != moment:  # left out
            due = moment.replace(fold=1).astimezone()
        return before < due <= minute
    if calendar := schedule.get("calendar"):
        entries = calendar if isinstance(calendar, list) else [calendar]
        return any(_calendar_due(entry, local) for entry in entries)
    return False


def due_after(schedule: Mapping[str, Any], moment: dt.datetime) -> dt.datetime | None:
    """Return when a job is due next after an aware moment, in UTC, within a year.

    An interval is not decided here, and a change of the clocks may move the answer by an hour.

    Raises:
        ValueError: The schedule cannot be read.
    """
    local = moment.astimezone().replace(tzinfo=None)
    found: list[dt.datetime] = []
    if cron := schedule.get("cronExpression"):
        found = list(islice(CronSim(str(cron), local), 1))
    elif run_at := schedule.get("runAt"):
        due = dt.datetime.fromisoformat(str(run_at)).astimezone().replace(tzinfo=None)
        found = [due] if due > local else []
    elif calendar := schedule.get("calendar"):
        entries = calendar if isinstance(calendar, list) else [calendar]
        times = {
            dt.time.fromisoformat(str(time).strip().zfill(len("00:00")))
            for entry in entries
            for time in _listed(entry.get("times") or entry.get("time"))
        }
        days = (local.date() + dt.timedelta(days=number) for number in range(_YEAR_DAYS))
        minutes = (dt.datetime.combine(day, time) for day in days for time in sorted(times))
        is_right = (m for m in minutes if m > local and any(_calendar_due(e, m) for e in entries))
        found = list(islice(is_right, 1))
    return found[0].astimezone(dt.UTC) if found else None


def _cron_due(expression: str, local: dt.datetime) -> bool:
    try:
        return next(CronSim(expression, local - _MINUTE), None) == local
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


class ClockChange(NamedTuple):
    """The wall's times from *start* up to *end* that a day leaves out, or that it has twice."""

    start: dt.datetime
    end: dt.datetime
    twice: bool


def clock_changes(after: dt.datetime) -> Iterator[ClockChange]:
    """Yield the changes of the machine's clocks in the year that follows an aware moment."""
    moment = after.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    for day in (moment + dt.timedelta(days=number) for number in range(_YEAR_DAYS)):
        if _offset(day) == _offset(day + dt.timedelta(days=1)):
            continue
        low, high = (
            0,
            _HOURS * 60,
        )  # minutes of this day; the change is between them
        while high - low > 1:
            middle = (low + high) // 2
            same = _offset(day + dt.timedelta(minutes=middle)) == _offset(day)
            low, high = (middle, high) if same else (low, middle)
        change = (day + dt.timedelta(minutes=high)).replace(tzinfo=None)
        before, now = change + _offset(day), change + _offset(day + dt.timedelta(minutes=high))
        yield ClockChange(min(before, now), max(before, now), twice=now < before)


def _offset(moment: dt.datetime) -> dt.timedelta:
    return moment.astimezone().utcoffset() or dt.timedelta()


def changed_runs(schedule: Mapping[str, Any], change: ClockChange) -> list[dt.datetime]:
    """Return the wall's times in *change* at which a job is due, but not one of every hour.

    None of a schedule that cannot be read, or of `runAt` with an offset.
    """
    try:
        if cron := schedule.get("cronExpression"):
            runs = CronSim(str(cron), change.start - _MINUTE)
            if len(runs.hours) == _HOURS:
                return []
            return list(takewhile(lambda run: run < change.end, runs))
        if run_at := schedule.get("runAt"):
            moment = dt.datetime.fromisoformat(str(run_at))
            meant = moment.tzinfo is None and change.start <= moment < change.end
            return [moment] if meant else []
        calendar = schedule.get("calendar") or []
        entries = calendar if isinstance(calendar, list) else [calendar]
        minutes = range((change.end - change.start) // _MINUTE)
        times = [change.start + number * _MINUTE for number in minutes]
        return [time for time in times if any(_calendar_due(entry, time) for entry in entries)]
    except (CronSimError, ValueError, TypeError, AttributeError):
        return []
