"""Tests of the run observer."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

from epm_task.contract.record import Record
from epm_task.simulator.jobs.observer import RunObserver
from epm_task.simulator.jobs.run import JobRun, TaskRun
from epm_task.simulator.run import finish
from epm_task.simulator.trace import Action, Kind, TraceEvent


def _event(kind: Kind, action: Action, *, denied: bool = False, **facts: Any) -> TraceEvent:
    return TraceEvent(time.time(), kind, action, "what", denied, "why", facts)


def _observer() -> RunObserver:
    observer = RunObserver("job")
    observer.started(SimpleNamespace(pid=7))
    return observer


def test_refusals_before_the_registration_are_no_denials():
    """They count as tries; refusals after it are denials."""
    observer = _observer()
    request = {"pid": 7, "tier": "Plugin"}
    for status in (403, 403, 200, 403):
        observer.event(_event("api", "answered", denied=status == 403, status=status, **request))
    assert observer.registration.tries == 3
    assert observer.registration.seconds is not None
    assert len(observer.denials) == 1


def test_refusals_without_a_registration_are_denials():
    """A process that was never served was refused."""
    observer = _observer()
    observer.event(_event("api", "answered", denied=True, status=403, pid=7, tier="Plugin"))
    assert (observer.registration.seconds, len(observer.denials)) == (None, 1)


def test_other_runs_do_not_concern_it():
    """Events of other jobs and processes are left out."""
    observer = _observer()
    observer.event(_event("mqtt", "dropped", denied=True, job_id="other"))
    observer.event(_event("api", "answered", denied=True, pid=1, tier="Plugin"))
    observer.event(_event("settings", "saved"))
    assert (observer.events, observer.denials) == ([], [])


def test_records_are_counted_once():
    """A record that was mirrored on stderr and came over the broker is one record."""
    told: list[Record] = []
    observer = RunObserver("job", on_record=told.append)
    line = b'{"message": "m", "level": "Error", "runId": "r", "seq": 2}'
    observer.line("stderr", line)
    observer.line("stderr", b"other text")
    observer.line("stdout", line)
    observer.record(Record("m", "Error", run_id="r", seq=2))
    observer.record(Record("first", run_id="r", seq=1))
    assert told == observer.records
    assert observer.acknowledged == 2
    run = finish(JobRun("r", "job", "t", [TaskRun("t", 7)]), observer)
    assert [(r.message, r.source_channel) for r in run.records] == [
        ("first", "broker"),
        ("m", "stderr"),
    ]


def test_records_without_a_number_keep_their_order():
    """Foreign programs do not count their records."""
    observer = _observer()
    for text in ("b", "a", "a"):
        observer.record(Record(text))
    run = finish(JobRun("r", "job", "t"), observer)
    assert [record.message for record in run.records] == ["b", "a", "a"]
    assert (run.stdout, run.pid, run.timed_out) == (b"", None, False)


def test_last_words_are_waited_for():
    """While a client of the job is connected, its messages may still be on their way."""

    async def main() -> float:
        observer = _observer()
        client = {"client_id": "job_1", "job_id": "job"}
        observer.event(_event("mqtt", "connected", **client))
        loop = asyncio.get_running_loop()
        gone = _event("mqtt", "disconnected", **client)
        loop.call_later(0.05, observer.event, gone)
        started = time.monotonic()
        await observer.last_words()
        await observer.last_words()
        return time.monotonic() - started

    assert 0.04 < asyncio.run(main()) < 0.9
