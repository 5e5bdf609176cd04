"""Start the jobs that are due, looking once a minute."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.schedule import (
    STARTUP,
    due_after,
    is_due,
    is_started_by,
    kind_problem,
    published_event,
)
from epm_task.contract.topic import KEEPER_LOGGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from epm_task.simulator.trace import Trace


_MINUTE: Final = timedelta(minutes=1)


class Scheduler:
    """Start the jobs that are due.

    *jobs* returns the job documents as they are now. *start_run* starts a run of a job for a
    trigger, and with an event as context; two runs may overlap, as in the field. *trace* gets what
    could not be understood.
    """

    def __init__(
        self,
        clock: Clock,
        jobs: Callable[[], Iterable[Mapping[str, Any]]],
        start_run: Callable[..., object],
        trace: Trace,
    ) -> None:
        self._clock = clock
        self._jobs = jobs
        self._start_run = start_run
        self._trace = trace
        #: Minutes between two runs of a job, and when the next is due.
        self._intervals: dict[str, tuple[float, datetime]] = {}
        self._complained: set[tuple[str, str]] = set()
        self._looked = full_minute(clock.now())
        self._timer: asyncio.TimerHandle | None = None
        clock.on_minute(self.tick)

    def start(self) -> None:
        """Run the jobs of the event `Startup`, and look at every full minute from now on."""
        self._notice_intervals(self._clock.now())
        for job in self._enabled():
            if is_started_by(job, STARTUP):
                self._start_run(job, STARTUP)
        self._arm()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def message(self, topic: str, payload: bytes, publisher: Mapping[str, Any] | None) -> None:
        """Start every job that names the event of a message, with the event as its context.

        The topic is the event topic of any job, or of the *publisher*, which need not be stored.
        """
        if self._timer is None or topic == KEEPER_LOGGER:
            return
        jobs = self._enabled()
        for job in jobs if publisher is None else [publisher, *jobs]:
            if event := published_event(job, topic, payload):
                break
        else:
            return
        for job in jobs:
            if is_started_by(job, name := event["eventType"]):
                self._start_run(job, name, event)

    def tick(self, now: datetime) -> None:
        """Start what is due; a second look at the same full minute does nothing."""
        self._notice_intervals(now)
        for job in self._enabled():
            for _ in range(self._intervals_over(str(job.get("id")), now)):
                self._start_run(job, "interval")
        minute = full_minute(now)
        if minute == self._looked:
            return
        before, self._looked = min(self._looked, minute - _MINUTE), minute
        for job in self._enabled():
            if trigger := self._trigger(job, before, minute):
                self._start_run(job, trigger)

    def next_due(self, job: Mapping[str, Any]) -> datetime | None:
        """Return when the schedule of a job starts it next; None for one that is never due."""
        if job.get("enabled", True) is False:
            return None
        now, schedule = self._clock.now(), _schedule(job)
        minutes, due = self._intervals.get(str(job.get("id")), (None, None))
        try:
            if (wanted := schedule.get("intervalMinutes")) is None:
                return due_after(schedule, now)
            if due is None or minutes != wanted:  # it begins when it is seen, at the next look
                due = full_minute(now) + _MINUTE + timedelta(minutes=wanted)
            # `_arm` looks at full minutes, and at the moments of those that are shorter.
            return due if wanted < 1 else full_minute(due + _MINUTE - timedelta.resolution)
        except Exception:  # noqa: BLE001  # one odd document; `tick` says what is wrong with it
            return None

    def _notice_intervals(self, now: datetime) -> None:
        """Let the interval of each job that is new, or has a new interval, begin now."""
        seen = {}
        for job in self._enabled():
            job_id, minutes = str(job.get("id")), _schedule(job).get("intervalMinutes")
            if minutes is None:
                continue
            if why := kind_problem("intervalMinutes", minutes):
                self._complain(job_id, f"intervalMinutes {why}")
                continue
            known = self._intervals.get(job_id)
            if known and known[0] == minutes:
                seen[job_id] = known
                continue
            try:
                # The first run comes after one whole interval, which is not aligned to the clock.
                seen[job_id] = minutes, now + timedelta(minutes=minutes)
            except OverflowError:
                self._complain(job_id, f"in {minutes} minutes no calendar goes on")
        self._intervals = seen

    def _intervals_over(self, job_id: str, now: datetime) -> int:
        if job_id not in self._intervals:
            return 0
        minutes, next_run = self._intervals[job_id]
        step, over = timedelta(minutes=minutes), 0
        while next_run <= now:
            # One of a minute or more begins anew with its run; the clock of a test moves by those.
            next_run = (now if minutes >= 1 else next_run) + step
            over += 1
        self._intervals[job_id] = minutes, next_run
        return over

    def _trigger(self, job: Mapping[str, Any], before: datetime, minute: datetime) -> str:
        schedule = _schedule(job)
        try:
            due = is_due(schedule, before, minute)
        except Exception as error:  # noqa: BLE001  # one odd document stops no other job
            self._complain(str(job.get("id")), str(error))
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
        next_look = full_minute(now) + _MINUTE
        short = (due for minutes, due in self._intervals.values() if minutes < 1)
        seconds = max((min([next_look, *short]) - now).total_seconds(), 0.0)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self.tick(self._clock.now())
        self._arm()


def _schedule(job: Mapping[str, Any]) -> Mapping[str, Any]:
    schedule = job.get("schedule")
    return schedule if isinstance(schedule, dict) else {}


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
