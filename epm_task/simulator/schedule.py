"""A schedule says at which minutes a job is due.

Times are the machine's local ones, compared as the wall shows them: an hour that a change to summer
time leaves out has no runs, one that comes twice has its runs twice. `runAt` may carry an offset.

The fields of `calendar` are not public. Ours: `times` (or `time`), each `HH:MM`; and to narrow the
days, `daysOfWeek` (English names, or 0 for Sunday), `daysOfMonth`, `months` (1 to 12).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_SHORT_DAY: Final = 3


def is_due(schedule: Mapping[str, Any], before: datetime, minute: datetime) -> bool:
    """Return whether a job of *schedule* is due at *minute*; an interval is not decided here.

    Args:
        schedule: `schedule` of a job document.
        before: The minute that was looked at before this one; aware.
        minute: The full minute; aware.

    Raises:
        ValueError: The schedule cannot be read.
    """
    local = minute.astimezone().replace(tzinfo=None)
    if cron := schedule.get("cronExpression"):
        return _cron(str(cron), local)
    if run_at := schedule.get("runAt"):
        moment = datetime.fromisoformat(str(run_at)).astimezone()
        return before < moment <= minute
    if calendar := schedule.get("calendar"):
        entries = calendar if isinstance(calendar, list) else [calendar]
        return any(_calendar(entry, local) for entry in entries)
    return False


def _cron(expression: str, local: datetime) -> bool:
    try:
        return bool(next(CronSim(expression, local - timedelta(minutes=1))) == local)
    except CronSimError as error:
        raise ValueError(f"{expression!r} is no cron expression: {error}") from error


def _calendar(entry: Mapping[str, Any], local: datetime) -> bool:
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
    names = [name[:_SHORT_DAY] for name in _DAYS]
    if text[:_SHORT_DAY] not in names:
        raise ValueError(f"{day!r} is no day of the week")
    return names.index(text[:_SHORT_DAY])


def _listed(value: object) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)
