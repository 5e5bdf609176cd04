"""Tests of an event loop in a thread, and of many runs that go on there at once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from peers.accounting import account
from peers.task_process import PROGRAMS

from epm_task.admin.log_files import files_of
from epm_task.simulator.background import LoopThread
from epm_task.testing import Agent

if TYPE_CHECKING:
    from pathlib import Path

#: For all runs together, on a machine that has other work.
_LONG = 600


def test_calls_run_in_the_other_thread() -> None:
    """Coroutines and plain functions run in the loop's own thread, and errors come back."""
    loop = LoopThread("other")
    try:
        assert loop.call_plain(threading.current_thread).name == "other"
        with pytest.raises(ZeroDivisionError):
            loop.call_plain(lambda: 1 // 0)
    finally:
        loop.stop()


def test_stop_ends_what_still_runs() -> None:
    """Tasks are cancelled, the thread ends, and a second stop does nothing."""
    loop = LoopThread("other")
    future = loop.submit(asyncio.sleep(60))
    loop.call_plain(lambda: None)
    loop.stop()
    loop.stop()
    assert future.cancelled()
    assert "other" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.slow
@pytest.mark.posix("the program is started by its path")
def test_sixty_four_tasks_at_once_lose_nothing() -> None:
    """Each is registered and connected, and no record of its thousand is missing or two records."""
    windows = (f"--registration-timeout={_LONG}", f"--flush-timeout={_LONG}")
    with Agent() as agent:
        begun = [
            agent.start(
                PROGRAMS / "records.py",
                parameters={"count": 1000},
                arguments=windows,
                timeout=_LONG,
            )
            for _ in range(64)
        ]
        runs = [each.wait(_LONG) for each in begun]
        logged = _logged(agent.log)
    assert [run.exit_code for run in runs] == [0] * 64, [run.stderr[-300:] for run in runs]
    assert len({run.records[0].run_id for run in runs}) == 64
    for run in runs:
        run_id = run.records[0].run_id
        accepted = range(1, 1 + max(record.seq or 0 for record in run.records))
        found = account(accepted, logged[run_id], run.stderr, run_id=run_id)
        assert found.complete, found
        sent = [record for record in run.records if record.message == "record"]
        assert [record.properties["n"] for record in sent] == list(range(1000))


def _logged(path: Path) -> dict[str, list[bytes]]:
    """Return the lines of the log by run, those of the older files included."""
    lines = defaultdict(list)
    for listed in files_of(path):
        for line in listed.path.read_bytes().splitlines():
            lines[json.loads(line)["runId"]].append(line)
    return lines
