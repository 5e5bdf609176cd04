"""Tests of runs: what is seen of one, and what came of it."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

from epm_task.contract.record import Record
from epm_task.simulator.jobs.run import (
    SHOWN_MESSAGES,
    LiveRun,
    Publication,
    Run,
    RunRequest,
    TaskRun,
)
from epm_task.simulator.trace import Action, Kind, TraceEvent


def test_exit_code_and_result_of_a_run() -> None:
    """The first failure counts, and the last result."""
    tasks = [TaskRun("a", result={"a": 1}), TaskRun("b", exit_code=2), TaskRun("c", exit_code=3)]
    run = Run("r", "j", "t", tasks)
    assert (run.exit_code, run.result) == (2, {"a": 1})
    assert Run("r", "j", "t", problem="x").exit_code == 1
    assert Run("r", "j", "t").result is None


def test_outputs_are_those_of_the_last_task_that_ran() -> None:
    """A skipped task has none; a run without tasks has none either."""
    tasks = [TaskRun("a", 7, stdout=b"out", stderr=b"err"), TaskRun("b", skipped="setting")]
    run = Run("r", "j", "t", tasks)
    assert (run.stdout, run.stderr, run.pid, run.timed_out) == (b"out", b"err", 7, False)
    empty = Run("r", "j", "t")
    assert (empty.stdout, empty.stderr, empty.pid, empty.timed_out) == (b"", b"", None, False)


def _event(kind: Kind, action: Action, *, denied: bool = False, **facts: Any) -> TraceEvent:
    return TraceEvent(time.time(), kind, action, "what", denied, "why", facts)


def _live(**request: Any) -> LiveRun:
    live = LiveRun({"id": "job"}, RunRequest(**request))
    live.started(cast("Any", SimpleNamespace(pid=7)))
    return live


def test_messages_are_kept_in_order() -> None:
    """Payloads are the values of their JSON; what is none is text; the starter gets each.

    Of a run that nobody waits for the first are kept, for the run history, and all are counted.
    """
    seen: list[Publication] = []
    live = _live(on_message=seen.append)
    for payload in (b'{"n": 1}', b"\xff no JSON", b"[" * 100_000):
        live.message("t", payload)
    assert live.run.messages == seen
    assert seen[:2] == [("t", {"n": 1}), ("t", "\ufffd no JSON")]
    forgetful = LiveRun({"id": "job"}, keep=False)
    for number in range(SHOWN_MESSAGES + 3):
        forgetful.message("t", b"%d" % number)
    assert [message.payload for message in forgetful.run.messages] == [*range(SHOWN_MESSAGES)]
    assert forgetful.run.published == SHOWN_MESSAGES + 3


def test_refusals_before_the_registration_are_no_denials() -> None:
    """They count as tries; refusals after it are denials."""
    live = _live()
    request = {"pid": 7, "tier": "Plugin"}
    for status in (403, 403, 200, 403):
        live.event(_event("api", "answered", denied=status == 403, status=status, **request))
    assert live.run.registration.tries == 3
    assert live.run.registration.seconds is not None
    asyncio.run(live.end())
    assert len(live.run.denials) == 1


def test_refusals_without_a_registration_are_denials() -> None:
    """A process that was never served was refused."""
    live = _live()
    live.event(_event("api", "answered", denied=True, status=403, pid=7, tier="Plugin"))
    asyncio.run(live.end())
    assert (live.run.registration.seconds, len(live.run.denials)) == (None, 1)


def test_other_runs_do_not_concern_it() -> None:
    """Events of other jobs and processes are left out."""
    live = _live()
    live.event(_event("mqtt", "dropped", denied=True, job_id="other"))
    live.event(_event("api", "answered", denied=True, pid=1, tier="Plugin"))
    live.event(_event("settings", "saved"))
    assert (live.run.trace, live.run.denials) == ([], [])


def test_records_are_counted_once() -> None:
    """A record that was mirrored on stderr and came over the broker is one record."""
    told: list[Record] = []
    live = _live(on_record=told.append)
    line = b'{"message": "m", "level": "Error", "runId": "r", "seq": 2}'
    live.line("stderr", line)
    live.line("stderr", b"other text")
    live.line("stdout", line)
    live.record(Record("m", "Error", run_id="r", seq=2))
    live.record(Record("first", run_id="r", seq=1))
    assert told == live.run.records
    assert live.run.acknowledged == 2
    asyncio.run(live.end())
    assert [(r.message, r.source_channel) for r in live.run.records] == [
        ("first", "broker"),
        ("m", "stderr"),
    ]


def test_records_without_a_number_keep_their_order() -> None:
    """Foreign programs do not count their records."""
    live = _live()
    for text in ("b", "a", "a"):
        live.record(Record(text))
    asyncio.run(live.end())
    assert [record.message for record in live.run.records] == ["b", "a", "a"]


def test_last_words_are_waited_for() -> None:
    """While a client of the job is connected, its messages may still be on their way."""

    async def main() -> float:
        live = _live()
        client: dict[str, Any] = {"client_id": "job_1", "job_id": "job"}
        live.event(_event("mqtt", "connected", **client))
        loop = asyncio.get_running_loop()
        gone = _event("mqtt", "disconnected", **client)
        loop.call_later(0.05, live.event, gone)
        started = time.monotonic()
        await live.end()
        await live.end()
        return time.monotonic() - started

    assert 0.04 < asyncio.run(main()) < 0.9
