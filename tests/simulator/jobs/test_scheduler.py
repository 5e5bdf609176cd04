"""Tests of the scheduler."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import PATIENCE

from epm_task.simulator.jobs.scheduler import Clock, Scheduler, full_minute
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_START = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)


class Plan:
    """A scheduler over a list of jobs, with a clock that moves by steps only."""

    def __init__(self, *jobs: dict[str, Any], start: datetime = _START) -> None:
        self.jobs = list(jobs)
        self.trace = Trace()
        self.started: list[tuple[str, str, str]] = []
        self.contexts: list[object] = []
        self.clock = Clock(start, seconds=lambda: 0.0)
        self.scheduler = Scheduler(self.clock, lambda: self.jobs, self._start_run, self.trace)

    def _start_run(self, job: Mapping[str, Any], trigger: str, context: object = None) -> str:
        self.started.append((f"{self.clock.now():%H:%M}", job["id"], trigger))
        self.contexts.append(context)
        return "run"

    def during(self, body: Callable[[], None]) -> list[tuple[str, str, str]]:
        """Run *body* while the scheduler runs; return what was started."""

        async def main() -> None:
            self.scheduler.start()
            body()
            self.scheduler.stop()

        asyncio.run(main())
        return self.started


def test_interval_starts_after_one_whole_interval() -> None:
    """The first run comes one interval after the start, then at each further one."""
    plan = Plan({"id": "a", "schedule": {"intervalMinutes": 30}})
    assert plan.during(lambda: plan.clock.advance(minutes=62)) == [
        ("12:31", "a", "interval"),
        ("13:01", "a", "interval"),
    ]


@pytest.mark.parametrize(
    ("day", "daily"),
    [("2027-03-28", []), ("2026-10-25", ["00:30", "01:30"]), ("2026-12-01", ["01:30"])],
)
def test_the_hour_in_which_clocks_change(
    time_zone: Callable[[str], None], day: str, daily: list[str]
) -> None:
    """A daily job has no run on the day without its time, and two on the day that has it twice.

    That is from midnight to two o'clock in UTC, in which an hourly job has two runs on each day.
    """
    time_zone("CET-1CEST,M3.5.0,M10.5.0/3")
    crons = {"daily": "30 2 * * *", "hourly": "30 * * * *"}
    jobs = [{"id": name, "schedule": {"cronExpression": cron}} for name, cron in crons.items()]
    plan = Plan(*jobs, start=datetime.fromisoformat(f"{day}T00:00Z") - timedelta(seconds=1))
    started = plan.during(lambda: plan.clock.advance(minutes=91))
    assert [at for at, job, _ in started if job == "daily"] == daily
    assert [at for at, job, _ in started if job == "hourly"] == ["00:30", "01:30"]


def test_interval_of_a_new_or_changed_job_begins_when_it_is_seen() -> None:
    """A change of the interval begins it anew."""
    plan = Plan()
    job = {"id": "a", "schedule": {"intervalMinutes": 10}}

    def body() -> None:
        plan.clock.advance(minutes=5)
        plan.jobs.append(job)
        plan.clock.advance(minutes=9)
        plan.jobs[:] = [job | {"schedule": {"intervalMinutes": 3}}]
        plan.clock.advance(minutes=4)

    assert plan.during(body) == [("12:18", "a", "interval")]


def test_interval_below_a_minute() -> None:
    """Two runs a minute, as the vendor's own jobs have them."""
    plan = Plan({"id": "a", "schedule": {"intervalMinutes": 0.5}})
    plan.during(lambda: plan.clock.advance(minutes=3))
    assert [trigger for _, _, trigger in plan.started] == [
        "interval"
    ] * 5  # from 12:01:00 to 12:03:00


_ABSURD: dict[str, list[Any]] = {
    "intervalMinutes": [10**12, 10**400, 1e300, "5", -1, [], {}],
    "cronExpression": ["0 0 31 2 *", "x", 5, [], "* * * * * *"],
    "runAt": [5, "never", [], "9999-12-31T23:59:59+00:00"],
    "calendar": [5, "x", [5], {"times": 5}, {"times": {}, "months": "x"}],
}


@pytest.mark.parametrize(
    "schedule",
    [{kind: value} for kind, values in _ABSURD.items() for value in values] + [5, "daily", []],
    ids=repr,
)
def test_absurd_document_stops_no_other_job(schedule: object) -> None:
    """Nor the start of the agent."""
    odd = {"id": "odd", "schedule": schedule, "events": 5}
    plan = Plan(odd, {"id": "a", "schedule": {"intervalMinutes": 5}}, {**odd, "id": "odder"})
    plan.during(lambda: plan.clock.advance(minutes=11))
    assert [job for _, job, _ in plan.started if not job.startswith("odd")] == ["a", "a"]


def test_startup_once() -> None:
    """`Startup` fires at the start of the agent, in both spellings, and not later."""
    plan = Plan(
        {"id": "a", "events": [{"eventType": "Startup"}]},
        {"id": "b", "events": ["Startup", "Other"]},
        {"id": "c", "events": ["Other"]},
        {"id": "d", "events": ["Startup"], "enabled": False},
    )
    assert plan.during(lambda: plan.clock.advance(hours=2)) == [
        ("12:00", "a", "Startup"),
        ("12:00", "b", "Startup"),
    ]


_FOUND = b'{"eventType": "Found", "path": "/etc/key.pem"}'


def test_published_event_starts_every_job_that_names_it() -> None:
    """In both spellings, with the event as context; disabled jobs and others stay as they are."""
    plan = Plan(
        {"id": "a", "events": [{"eventType": "Other"}, {"eventType": "Found"}]},
        {"id": "b", "events": ["Found"]},
        {"id": "c", "events": ["Found"], "enabled": False},
        {"id": "d", "events": ["found", "Founded", 5, None, {}]},
        {"id": "e", "events": "Found"},
        {"id": "scan"},
    )
    assert plan.during(lambda: plan.scheduler.message("Jobs/scan/events", _FOUND, None)) == [
        ("12:00", "a", "Found"),
        ("12:00", "b", "Found"),
    ]
    assert plan.contexts == [{"eventType": "Found", "path": "/etc/key.pem"}] * 2


@pytest.mark.parametrize(
    ("publisher", "topic", "starts"),
    [
        ({"id": "scan"}, "Jobs/scan/events", True),
        ({"id": "scan"}, "Jobs/scan/findings", False),
        ({"id": "scan"}, "Jobs/other/events", False),
        ({"id": "scan"}, "KeeperLogger", False),
        ({"id": "scan", "eventTopic": "Scans"}, "Scans", True),
        ({"id": "scan", "eventTopic": "Scans"}, "Jobs/scan/events", False),
        ({"id": "scan", "eventTopic": "KeeperLogger"}, "KeeperLogger", False),
        (None, "Jobs/a/events", True),
        (None, "Jobs/b/events", False),
    ],
)
def test_event_comes_on_an_event_topic(
    publisher: dict[str, Any] | None, topic: str, *, starts: bool
) -> None:
    """On the one that a job names, else on its default, which is then another topic."""
    plan = Plan({"id": "a", "events": ["Found"]})
    plan.during(lambda: plan.scheduler.message(topic, _FOUND, publisher))
    assert bool(plan.started) == starts


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"Found", b'"Found"', b"[]", b"{}", b"\xff", b"[" * 100_000),
        *(b'{"eventType": 5}', b'{"eventType": ["Found"]}', b'{"eventType": "Startup"}'),
        b'{"eventType": "Found"',
    ],
    ids=lambda payload: repr(payload[:20]),
)
def test_message_without_an_event_starts_nothing(payload: bytes) -> None:
    """Nor does one that says that the agent has started."""
    plan = Plan({"id": "a", "events": ["Found", "Startup"]})
    plan.during(lambda: plan.scheduler.message("Jobs/a/events", payload, None))
    assert [trigger for _, _, trigger in plan.started] == ["Startup"]


def test_event_before_the_start_or_after_the_end_starts_nothing() -> None:
    """The broker is there before, and for a while after."""
    plan = Plan({"id": "a", "events": ["Found"]})
    plan.scheduler.message("Jobs/a/events", _FOUND, None)
    plan.during(lambda: None)
    plan.scheduler.message("Jobs/a/events", _FOUND, None)
    assert not plan.started


def test_run_at_cron_and_disabled() -> None:
    """Each kind of schedule names itself as the trigger; a disabled job never runs."""
    plan = Plan(
        {"id": "a", "schedule": {"runAt": "2026-03-02T12:02:00+00:00"}},
        {"id": "b", "schedule": {"cronExpression": "* * * * *"}},
        {"id": "c", "schedule": {"cronExpression": "* * * * *"}, "enabled": False},
    )
    assert plan.during(lambda: plan.clock.advance(minutes=2)) == [
        ("12:01", "b", "cronExpression"),
        ("12:02", "a", "runAt"),
        ("12:02", "b", "cronExpression"),
    ]


def test_same_minute_is_looked_at_once() -> None:
    """A second look at a minute starts nothing."""
    plan = Plan({"id": "b", "schedule": {"cronExpression": "* * * * *"}})
    minute = datetime(2026, 3, 2, 12, 1, tzinfo=UTC)
    plan.scheduler.tick(minute)
    plan.scheduler.tick(minute)
    assert len(plan.started) == 1


def test_clock_that_was_set_back() -> None:
    """Minutes that come again are looked at again, and a single run is not missed."""
    plan = Plan({"id": "a", "schedule": {"runAt": "2026-03-02T11:00:00+00:00"}})
    plan.scheduler.tick(datetime(2026, 3, 2, 11, 0, tzinfo=UTC))
    assert len(plan.started) == 1


def test_schedule_that_cannot_be_read_is_told_once() -> None:
    """A broken schedule does not stop the others, and the trace says why it never fires."""
    plan = Plan(
        {"id": "a", "schedule": {"runAt": "soon"}},
        {"id": "b", "schedule": {"runAt": "2026-03-02T12:02:00+00:00"}},
    )
    assert plan.during(lambda: plan.clock.advance(minutes=3)) == [("12:02", "b", "runAt")]
    assert [event.facts["job_id"] for event in plan.trace] == ["a"]


def test_real_minute_is_awaited() -> None:
    """Without `advance` the machine's own minutes start the jobs."""
    plan = Plan({"id": "b", "schedule": {"cronExpression": "* * * * *"}})
    begun = datetime(2026, 3, 2, 12, 0, 59, 950_000, tzinfo=UTC)
    looks: list[float] = []

    def seconds() -> float:
        """Run from the scheduler's first look on: a busy machine may not miss the minute."""
        looks.append(time.monotonic())
        return looks[-1] - looks[:2][-1]

    plan.clock = Clock(begun, seconds=seconds)
    plan.scheduler = Scheduler(plan.clock, lambda: plan.jobs, plan._start_run, plan.trace)

    async def main() -> None:
        plan.scheduler.start()
        async with asyncio.timeout(PATIENCE / 2):
            while not plan.started:  # noqa: ASYNC110 - the scheduler has no event for it
                await asyncio.sleep(0.01)
        plan.scheduler.stop()

    asyncio.run(main())
    assert plan.started == [("12:01", "b", "cronExpression")]


_START_CLOCK = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


def test_clock_runs_on() -> None:
    """The clock starts where it is told, and follows the machine."""
    machine = [1000.0]
    clock = Clock(_START_CLOCK, seconds=lambda: machine[0])
    machine[0] += 5
    assert clock.now() == _START_CLOCK + timedelta(seconds=5)


def test_machine_time_by_default() -> None:
    """Without a start it is the machine's time."""
    assert abs(Clock().now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_advance_passes_every_full_minute() -> None:
    """Listeners see each minute on the way, and the clock then."""
    clock = Clock(_START_CLOCK, seconds=lambda: 0.0)
    seen: list[datetime] = []

    def listener(minute: datetime) -> None:
        seen.append(minute)
        assert clock.now() == minute

    clock.on_minute(listener)
    clock.advance(minutes=3, seconds=-30)
    assert seen == [_START_CLOCK + timedelta(seconds=30 + 60 * n) for n in range(3)]
    assert clock.now() == _START_CLOCK + timedelta(minutes=2, seconds=30)


def test_clock_does_not_go_back() -> None:
    """A step back is refused."""
    with pytest.raises(ValueError, match="forward only"):
        Clock(_START_CLOCK).advance(minutes=-1)


def test_full_minute() -> None:
    """Seconds are cut off."""
    assert full_minute(_START_CLOCK) == _START_CLOCK - timedelta(seconds=30)


@pytest.mark.parametrize(
    "schedule",
    [
        {"intervalMinutes": 90},
        {"cronExpression": "15 4 * * *"},
        {"cronExpression": "*/7 13-14 * * mon"},
        {"runAt": "2026-03-02T18:30:00Z"},
        {"runAt": "2026-03-03T01:05:00"},
        {"calendar": {"times": ["04:00", "9:30"], "daysOfWeek": ["Tuesday"]}},
        {"calendar": [{"time": "23:59"}, {"time": "12:45", "months": [3]}]},
    ],
    ids=str,
)
def test_next_due_is_when_it_starts(schedule: dict[str, Any]) -> None:
    """What is told beforehand is what the clock brings, before the job was seen and after."""
    plan = Plan(job := {"id": "a", "schedule": schedule})
    told = [plan.scheduler.next_due(job)]

    def _body() -> None:
        told.append(plan.scheduler.next_due(job))
        plan.clock.advance(days=2)

    first, *_ = plan.during(_body)
    before, after = (f"{moment:%H:%M}" for moment in told if moment)
    assert after == first[0]
    assert before == after or "intervalMinutes" in schedule


@pytest.mark.parametrize(
    "schedule",
    [
        {},
        {"runAt": "2026-03-01T00:00:00Z"},
        {"runAt": "soon"},
        {"cronExpression": "x"},
        {"cronExpression": {}},
        {"intervalMinutes": "5"},
        {"intervalMinutes": 10**400},
        {"calendar": {"times": ["late"]}},
        {"calendar": 3},
    ],
    ids=str,
)
def test_what_is_never_due(schedule: dict[str, Any]) -> None:
    """A schedule that is over, that cannot be read, or that there is none of, has no next time."""
    job = {"id": "a", "schedule": schedule}
    assert Plan(job).scheduler.next_due(job) is None
    right = {**job, "schedule": {"intervalMinutes": 5}}
    assert Plan(right).scheduler.next_due({**right, "enabled": False}) is None
