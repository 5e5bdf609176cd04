"""The rules of timing: what starts a job, and when it is ended."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from epm_task.contract.schedule import (
    LONGEST_MINUTES,
    SCHEDULE_KINDS,
    changed_runs,
    clock_changes,
    is_startup,
    kind_problem,
    schedule_kinds,
)
from epm_task.job.rule import Hit, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.job.subject import Part, Subject

_DEADLINE: Final = re.compile(r"(?<!\S)--deadline[= ]\"?(\d+(?:\.\d+)?)\"?(?!\S)")
_SECONDS: Final = 60


@rule("EPM010", "nothing starts the job, or two schedules do")
def one_schedule(subject: Subject) -> Iterator[Hit]:
    """A job has exactly one kind of schedule, or events, or one schedule together with events.

    The kinds are `intervalMinutes`, `cronExpression`, `runAt` and `calendar`. With two of them the
    agent refuses the job. A job with neither schedule nor events runs only when somebody triggers
    it, or in the place of another job; if that is meant, ignore this rule.

    - wrong: `"schedule": {"intervalMinutes": 60, "cronExpression": "0 * * * *"}`
    - right: `"schedule": {"intervalMinutes": 60}`
    """
    kinds = schedule_kinds(subject.schedule)
    if len(kinds) > 1:
        yield Hit("/schedule", f"the schedule holds {' and '.join(kinds)}", "leave one of them")
    elif not kinds and not subject.events:
        names = ", ".join(SCHEDULE_KINDS)
        yield Hit(
            subject.root.at("schedule"),
            "schedule and events are absent, so nothing but the API starts this job",
            f"add a schedule with one of {names}, or events",
        )


@rule("EPM011", "unusable schedule", "error")
def usable_schedule(subject: Subject) -> Iterator[Hit]:
    """The interval, cron expression or moment cannot be read.

    `intervalMinutes` is a number of minutes, from a second (0.017) to a year; the vendor's own jobs
    use 0.5. `cronExpression` has five fields: minute, hour, day, month, weekday, and no seconds.
    `runAt` is a moment in ISO 8601.

    - wrong: `"cronExpression": "0 0 * * * *"`
    - right: `"cronExpression": "0 * * * *"`
    """
    for kind in schedule_kinds(subject.schedule):
        value = subject.schedule[kind]
        why = kind_problem(kind, value)
        if not why and kind == "intervalMinutes" and value > LONGEST_MINUTES:
            why = "is longer than a year"
        if why:
            yield Hit(f"/schedule/{kind}", f"schedule.{kind} {why}", "correct it")


@rule("EPM012", "Startup together with an interval")
def startup_overlap(subject: Subject) -> Iterator[Hit]:
    """A run at the start of the agent may overlap the first run of the interval.

    The agent does not wait for the one before it starts the other. A task that tolerates that may
    ignore this rule; else let it take a lock, and end with `TemporaryFailure` when it is held.

    - wrong: `"events": ["Startup"], "schedule": {"intervalMinutes": 5}` for ten minutes of work
    - right: one of the two
    """
    if subject.schedule.get("intervalMinutes") is None:
        return
    for index, event in enumerate(subject.events):
        if is_startup(event):
            yield Hit(
                f"/events/{index}",
                "a Startup run may overlap the first interval run",
                "remove one of the two, or ignore EPM012 when the task tolerates it",
            )


@rule("EPM016", "time-out missing, or below the task's own deadline")
def time_out(subject: Subject) -> Iterator[Hit]:
    """The agent kills a task after `timeoutSeconds`; the task should have stopped itself before.

    Without a time-out a task that hangs stays for ever, and is started again beside itself. With
    one below the task's own deadline, `--deadline` or `@task(timeout_seconds=…)`, the task is
    killed without its last records.

    - wrong: `"timeoutSeconds": 60` with `--deadline=90` in the arguments
    - right: `"timeoutSeconds": 100`
    """
    for task in subject.tasks:
        seconds = task.fields.get("timeoutSeconds")
        own = _own_deadline(subject, task)
        if seconds is None:
            yield Hit(
                task.pointer,
                "timeoutSeconds is missing, so a task that hangs is never ended",
                "add timeoutSeconds, with @task(timeout_seconds=…) in the code",
            )
        elif own is not None and isinstance(seconds, int | float) and seconds < own:
            yield Hit(
                task.at("timeoutSeconds"),
                f"timeoutSeconds {seconds} is below the task's own deadline of {own:g} s, so the "
                "agent kills it before it stops itself",
                f"set it above {own:g}",
            )


@rule("EPM017", "interval shorter than the time-out")
def interval_above_time_out(subject: Subject) -> Iterator[Hit]:
    """A run that takes as long as it may is still there when the next one starts.

    Compared are the interval and the sum of the tasks' time-outs, as tasks run one after another.
    Tasks that say `overlap="skip"` or `"wait"` in the code run one at a time.

    - wrong: `"intervalMinutes": 5` with `"timeoutSeconds": 600`
    - right: `"intervalMinutes": 10`, or `"timeoutSeconds": 300`
    """
    minutes = subject.interval_minutes
    seconds = [task.fields.get("timeoutSeconds") for task in subject.tasks]
    total = sum(value for value in seconds if type(value) is int)
    known = subject.job.tasks if subject.job else ()
    if known and all(task.declaration.overlap != "allow" for task in known):
        return
    if minutes is not None and minutes * _SECONDS < total:
        yield Hit(
            "/schedule/intervalMinutes",
            f"the interval of {minutes * _SECONDS:g} s is shorter than the time-out of {total} s, "
            "so two runs may overlap",
            "lengthen the interval or shorten the time-out",
        )


@rule("EPM028", "run in an hour that clocks leave out or repeat", "info")
def clock_change(subject: Subject) -> Iterator[Hit]:
    """On two days of the year, summer time leaves out an hour of local time, or repeats it.

    A run at 02:30 does not take place on the day without 02:30, and takes place twice on the day
    that has it twice; so does the agent in a box, and the vendor does not state what an agent does.
    Looked at is the time zone of this machine: `TZ=Europe/Berlin epm-task validate Jobs/` asks for
    another one. A schedule of every hour, and `runAt` with an offset, are not concerned.

    - wrong: `"cronExpression": "30 2 * * *"` in most of Europe and of North America
    - right: `"cronExpression": "30 4 * * *"`
    """
    moment = subject.schedule.get("runAt")
    try:
        after = datetime.fromisoformat(str(moment)).astimezone() if moment else datetime.now(UTC)
        changes = list(clock_changes(after - timedelta(days=1)))
    except (ValueError, OverflowError, OSError):  # another rule's matter
        return
    told: dict[bool, str] = {}
    for change in changes:
        if runs := changed_runs(subject.schedule, change):
            how = "comes twice" if change.twice else "is left out"
            told.setdefault(change.twice, f"{runs[0]:%H:%M} {how} on {runs[0]:%Y-%m-%d}")
    if told:
        kind = next(k for k in schedule_kinds(subject.schedule) if k != "intervalMinutes")
        yield Hit(
            f"/schedule/{kind}",
            f"in this machine's time zone {' and '.join(told.values())}",
            "choose another hour, or let the task tolerate a day without a run and one with two",
        )


def _own_deadline(subject: Subject, task: Part) -> float | None:
    if given := _DEADLINE.search(task.text("arguments")):
        return float(given[1])
    for known in subject.job.tasks if subject.job else ():
        if known.name == task.text("id"):
            return known.declaration.own_deadline_seconds
    return None
