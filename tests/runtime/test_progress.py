"""Tests of `ctx.track` and `ctx.progress`: what they record of a loop, and how often."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from peers.mqtt_peer import MqttPeer
from peers.patience import PATIENCE
from peers.task_process import TaskProcess, agent_with

from epm_task.contract.levels import WARNING
from epm_task.contract.progress import Progress
from epm_task.runtime.log.log import make_log
from epm_task.runtime.progress import _TEXTS, ProgressLog
from epm_task.testing import HandlerContext, Record, make_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

#: How much clocks may differ: the records' is not the monotonic one.
ROUNDED = 0.05


def seen(ctx: HandlerContext, text: str = "scanning") -> list[Progress]:
    """Return what the records with this message say."""
    found = [Progress.of(record.properties) for record in ctx.records if record.message == text]
    assert None not in found
    return [progress for progress in found if progress]


def at(record: Record) -> float:
    """Return the second of a record."""
    return datetime.fromisoformat(record.timestamp).timestamp()


def test_a_short_loop() -> None:
    """The items come as they are; one record says how many there were, and how fast."""
    ctx = make_context()
    assert list(ctx.track("abc", "scanning")) == ["a", "b", "c"]
    (record,) = ctx.records
    assert (record.level, record.message) == ("Information", "scanning")
    known = {"done": 3, "total": 3, "state": "done", "progressId": 1}
    assert {**record.properties, **known} == record.properties
    names = {*(record.properties.keys() - known.keys())}
    if os.name == "nt":  # its clock may not have moved, and then there is no rate
        names.add("rate")
    assert names == {"rate", "elapsedSeconds"}


def test_no_items() -> None:
    """Neither a rate nor a division by zero."""
    ctx = make_context()
    assert not list(ctx.track([], "scanning"))
    ctx.progress(0, 0, "scanning")
    for progress in seen(ctx):
        assert (progress.done, progress.total, progress.rate, progress.state) == (
            0,
            0,
            None,
            "done",
        )
    assert len(ctx.records) == 2


@pytest.mark.parametrize(
    ("given", "told"), [(7, 7), (3, 3), (2, None), (-1, None), ("3", None), (2**70, None)]
)
def test_total(given: Any, told: float | None) -> None:
    """A total that is given is believed, unless it cannot be; it never disturbs the loop."""
    ctx = make_context()
    assert list(ctx.track(iter("abc"), "scanning", given)) == ["a", "b", "c"]
    assert [record.properties.get("total") for record in ctx.records] == [told]


def test_total_of_odd_items() -> None:
    """An iterator has none; a `len` that raises is as none."""

    class Odd(list[int]):
        def __len__(self) -> int:
            raise OSError

    ctx = make_context()
    assert list(ctx.track((n for n in range(2)), "scanning")) == [0, 1]
    assert list(ctx.track(Odd([1]), "scanning")) == [1]
    assert [(progress.done, progress.total) for progress in seen(ctx)] == [(2, None), (1, None)]
    with pytest.raises(TypeError):
        ctx.track(3, "scanning")  # type: ignore[call-overload]  # at the call, not at its first use


def broken() -> Iterator[int]:
    """Yield two items and raise."""
    yield from (1, 2)
    raise KeyError("gone")


def test_a_loop_that_is_left() -> None:
    """By `break`, by an exception of the body or of the items; the item in hand is not done."""
    ctx = make_context()
    for item in ctx.track(range(10), "scanning"):
        if item == 4:
            break
    with pytest.raises(KeyError, match="gone"):
        list(ctx.track(broken(), "scanning"))
    tracked = ctx.track([1, 2], "scanning")
    next(tracked)
    tracked.close()
    ctx.track([1, 2], "scanning")  # never begun
    told = [(progress.done, progress.total, progress.state) for progress in seen(ctx)]
    assert told == [(4, 10, "stopped"), (2, None, "stopped"), (0, 2, "stopped")]


def test_one_record_a_second() -> None:
    """Of each of several loops at once, the first after a second, with rate and remaining time."""
    ctx = make_context()
    began = time.time()

    def work(text: str) -> None:
        """Take items until two records have come."""
        for _ in ctx.track(range(100_000), text):
            time.sleep(0.01)
            if len(seen(ctx, text)) == 2:
                return

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, "abc"))
    assert len({record.properties["progressId"] for record in ctx.records}) == 3
    for text in "abc":
        *running, last = seen(ctx, text)
        times = [began, *(at(record) for record in ctx.records if record.message == text)][:-1]
        assert all(b - a > 1 - ROUNDED for a, b in itertools.pairwise(times)), times
        for progress in running:
            assert (progress.state, progress.total) == ("running", 100_000)
            assert progress.rate
            remaining = (100_000 - progress.done) / progress.rate
            assert progress.remaining == pytest.approx(remaining, rel=0.02, abs=0.1)
        assert (last.state, last.remaining) == ("stopped", None)
        assert last.done >= running[-1].done > running[0].done > 0


def ticking() -> bool:
    """Tell whether the thread runs that tells loops to look at the clock."""
    return "epm-task-progress" in {thread.name for thread in threading.enumerate()}


def await_silence() -> None:
    """Wait until it has ended, which it does when no loop needs it."""
    deadline = time.monotonic() + PATIENCE
    while ticking() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not ticking()


def test_slow_items_after_quick_ones() -> None:
    """A loop that only counts is told to look at the clock; the thread that does it ends."""
    ctx = make_context()
    slow = 0
    for item in ctx.track(itertools.count(), "scanning"):
        if item > 5000:
            slow += 1
            time.sleep(0.1)
            if ctx.records or slow > PATIENCE * 10:
                break
    assert [progress.state for progress in seen(ctx)] == ["running", "stopped"]
    await_silence()


def test_inner_loops() -> None:
    """Of many short ones ten a second are recorded, of the outer one always the end."""
    ctx = make_context()
    began = time.monotonic()
    for _ in ctx.track(range(1000), "scanning"):
        list(ctx.track(range(3), "inner"))
    seconds = time.monotonic() - began
    assert 10 <= len(seen(ctx, "inner")) <= 10 * (seconds + 1)
    assert seen(ctx)[-1].state == "done"


async def numbers(count: int) -> AsyncIterator[int]:
    """Yield numbers, and let others run in between."""
    for number in range(count):
        await asyncio.sleep(0)
        yield number


def test_asynchronous_items() -> None:
    """Two tasks at once, one of which is left early."""
    ctx = make_context()

    async def work(text: str, until: int) -> int:
        """Take items until one is reached."""
        taken = 0
        async for number in ctx.track(numbers(5), text, 5):
            if number == until:
                break
            taken += 1
        return taken

    async def main() -> None:
        """Do both."""
        taken = list(await asyncio.gather(work("scanning", 9), work("left", 2)))
        assert taken == [5, 2]

    asyncio.run(main())
    assert [(p.done, p.total, p.state) for p in seen(ctx)] == [(5, 5, "done")]
    assert [(p.done, p.total, p.state) for p in seen(ctx, "left")] == [(2, 5, "stopped")]


def test_progress_ends_with_its_total() -> None:
    """Once; what is more does not count, and with fewer done, or a larger total, it begins anew."""
    ctx = make_context()
    for done, total in ((1, 2), (2, 2), (2, 2), (3, 2), (0, 2), (2, 2), (3, 4), (4, 4)):
        ctx.progress(done, total, "scanning")
    told = [(progress.id, progress.done, progress.state) for progress in seen(ctx)]
    assert told == [(1, 2, "done"), (2, 2, "done"), (3, 4, "done")]
    ctx.progress(5, None, "unknown")
    assert not seen(ctx, "unknown")


def test_progress_of_threads() -> None:
    """They share a loop; the record of its end is the last one, and the only one."""
    ctx = make_context()
    numbers = itertools.count(1)

    def work() -> None:
        """Count."""
        while (number := next(numbers)) <= 20_000:
            ctx.progress(number, 20_000, "scanning")

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(work)
    states = [progress.state for progress in seen(ctx)]
    assert (states.count("done"), states[-1]) == (1, "done")


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [("3", 4, "a"), (None, None, "a"), (1, "4", "a"), (float("nan"), 4, "a"), (1, 2, ["a"])],
)
def test_progress_raises_nothing(done: Any, total: Any, text: Any) -> None:
    """As a log call: a task must not fail because of it."""
    ctx = make_context()
    ctx.progress(done, total, text)
    ctx.progress(done, total, text)
    assert not ctx.records


def test_texts_that_are_always_new() -> None:
    """One of them is recorded each second, and few are remembered."""
    ctx = make_context()
    deadline = time.monotonic() + PATIENCE
    for number in itertools.count():
        ctx.progress(number, None, f"scanning {number}")
        if ctx.records or time.monotonic() > deadline:
            break
        time.sleep(0.001)
    assert len(ctx.records) == 1
    assert ctx._progress is not None
    assert len(ctx._progress._texts) <= _TEXTS


def test_a_level_that_is_not_wanted() -> None:
    """Nothing is recorded, and nobody looks at the clock."""
    await_silence()
    kept = make_context()
    log = ProgressLog(make_log(kept.log._logger, WARNING))
    for _ in log.track(range(5000), "scanning", None):  # type: ignore[union-attr]
        assert not ticking()
    log.progress(1, 1, "scanning")
    assert not kept.records


PROGRAM = """
import os, time
from epm_task import TaskContext, task

@task(job_id="key-scanner")
def program(ctx: TaskContext) -> None:
    began = None
    for n in ctx.track(range(100_000), "scanning"):
        if n == 5000:  # it only counts by now
            child = os.fork()
            began = time.monotonic()
        if n > 5000:
            time.sleep(0.1)
        if began and not child and time.monotonic() > began + 2:
            os._exit(0)
        if began and child and os.waitpid(child, os.WNOHANG)[0]:
            print("waiting", flush=True)
            began = None

program.main()
"""


@pytest.mark.posix("only POSIX has fork")
def test_a_forked_child_and_a_stop(tmp_path: Path) -> None:
    """A child goes on counting, as a process of its own; a loop that is stopped says so."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    with (
        MqttPeer() as broker,
        agent_with(broker.port) as agent,
        TaskProcess(file, agent=agent.base_url) as process,
    ):
        process.await_stderr(b"waiting")
        process.signal()
        ended = process.end()
    assert ended.exit_code == 143, ended.stderr
    records = [Record.from_payload(payload) for payload in broker.payloads]
    states = [record.properties["state"] for record in records if record.message == "scanning"]
    assert set(states[:-1]) == {"running"}
    assert states[-1] == "stopped"
    run_id = records[0].run_id
    children = [record for record in ended.messages("scanning") if record["runId"] != run_id]
    assert children
    assert {record["properties"]["state"] for record in children} == {"running"}
    assert children[0]["runId"].startswith(f"{run_id}.")
