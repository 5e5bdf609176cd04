"""Start the jobs that are due, looking once a minute.

Times are the machine's local ones, compared as the wall shows them: an hour that a change to summer
time leaves out has no runs, one that comes twice has its runs twice. `runAt` may carry an offset.

The fields of `calendar` are not public. Ours: `times` (or `time`), each `HH:MM`; and to narrow the
days, `daysOfWeek` (English names, or 0 for Sunday), `daysOfMonth`, `months` (1 to 12).
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cronsim import CronSim, CronSimError

from epm_task.contract.schedule import is_startup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from epm_task.simulator.trace import Trace


_MINUTE: Final = timedelta(minutes=1)


class _Interval(NamedTuple):
    minutes: float
    due: datetime


class Scheduler:
    """Start the jobs that are due.

    Args:
        clock: The time.
        jobs: Returns the job documents as they are now.
        start_run: Starts a run of a job for a trigger; two of one job may overlap, as in the field.
        trace: Gets what could not be understood.
    """

    def __init__(
        self,
        clock: Clock,
        jobs: Callable[[], Iterable[Mapping[str, Any]]],
        start_run: Callable[[Mapping[str, Any], str], object],
        trace: Trace,
    ) -> None:
        self._clock = clock
        self._jobs = jobs
        self._start_run = start_run
        self._trace = trace
        self._intervals: dict[str, _Interval] = {}
        self._complained: set[tuple[str, str]] = set()
        self._looked = full_minute(clock.now())
        self._timer: asyncio.TimerHandle | None = None
        clock.on_minute(self.tick)

    def start(self) -> None:
        """Run the jobs of the event `Startup`, and look at every full minute from now on."""
        self._notice_intervals(self._clock.now())
        for job in self._enabled():
            if any(is_startup(event) for event in job.get("events") or ()):
                self._start_run(job, "Startup")
        self._arm()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def tick(self, minute: datetime) -> None:
        """Start what is due at this full minute; a second look at the same minute does nothing."""
        if minute == self._looked:
            return
        before, self._looked = min(self._looked, minute - _MINUTE), minute
        self._notice_intervals(minute)
        for job in self._enabled():
            if trigger := self._trigger(job, before, minute):
                self._start_run(job, trigger)

    def _notice_intervals(self, now: datetime) -> None:
        """Let the interval of each job that is new, or has a new interval, begin now."""
        seen = {}
        for job in self._enabled():
            job_id = str(job.get("id"))
            minutes = (job.get("schedule") or {}).get("intervalMinutes")
            if not isinstance(minutes, int | float) or minutes <= 0:
                continue
            known = self._intervals.get(job_id)
            # The first run comes after one whole interval, which is not aligned to the clock.
            begins = _Interval(minutes, now + timedelta(minutes=minutes))
            seen[job_id] = known if known and known.minutes == minutes else begins
        self._intervals = seen

    def _trigger(self, job: Mapping[str, Any], before: datetime, minute: datetime) -> str:
        schedule = job.get("schedule") or {}
        job_id = str(job.get("id"))
        interval = self._intervals.get(job_id)
        if interval and interval.due <= minute:
            next_due = minute + timedelta(minutes=interval.minutes)
            self._intervals[job_id] = _Interval(interval.minutes, next_due)
            return "interval"
        try:
            due = is_due(schedule, before, minute)
        except (ValueError, AttributeError) as error:
            self._complain(job_id, str(error))
            return ""
        kinds = ("cronExpression", "runAt", "calendar")
        return next((kind for kind in kinds if schedule.get(kind)), "") if due else ""

    def _complain(self, job_id: str, why: str) -> None:
        if (job_id, why) not in self._complained:
            self._complained.add((job_id, why))
            self._trace.add(
                "scheduler",
                "never_due",
                f"job {job_id} is never due",
                reason=f"schedule: {why}",
                job_id=job_id,
            )

    def _enabled(self) -> list[Mapping[str, Any]]:
        return [job for job in self._jobs() if job.get("enabled", True) is not False]

    def _arm(self) -> None:
        now = self._clock.now()
        seconds = (full_minute(now) + _MINUTE - now).total_seconds()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self.tick(full_minute(self._clock.now()))
        self._arm()


_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_SHORT_DAY: Final = 3


def is_due(schedule: Mapping[str, Any], before: datetime, minute: datetime) -> bool:
    """Return whether a job is due at a full minute; an interval is not decided here.

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
        raise ValueError(f"{expression!r} is not a cron expression: {error}") from error


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
        raise ValueError(f"{day!r} is not a day of the week")
    return names.index(text[:_SHORT_DAY])


def _listed(value: object) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


class Clock:
    """The time of one agent, from *start* on: the machine's own, plus what it was moved by."""

    def __init__(
        self, start: datetime | None = None, *, seconds: Callable[[], float] = time.time
    ) -> None:
        self._seconds = seconds
        self._moved = timedelta()
        self._listeners: list[Callable[[datetime], None]] = []
        if start is not None:
            self._moved = start.astimezone(UTC) - self.now()

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.fromtimestamp(self._seconds(), UTC) + self._moved

    def on_minute(self, listener: Callable[[datetime], None]) -> None:
        """Call *listener* with each full minute that `advance` passes."""
        self._listeners.append(listener)

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Move the clock forward through every full minute on the way.

        Raises:
            ValueError: The step leads back.
        """
        step = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if step < timedelta():
            raise ValueError("a clock is moved forward only")
        target = self.now() + step
        while (minute := full_minute(self.now()) + _MINUTE) <= target:
            self._move_to(minute)
            for listener in self._listeners:
                listener(minute)
        self._move_to(target)

    def _move_to(self, moment: datetime) -> None:
        self._moved += max(timedelta(), moment - self.now())


def full_minute(moment: datetime) -> datetime:
    """Return the start of the minute in which *moment* lies."""
    return moment.replace(second=0, microsecond=0)
