"""Tests of the run history."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest
from simulator.task_files import TWO_TASKS, write

from epm_task.simulator.embedded import Agent
from epm_task.simulator.jobs.history import RunHistory
from epm_task.simulator.jobs.run import LiveRun, RunRequest, TaskRun
from epm_task.simulator.keeper_logger import KeeperLogger
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.contract.run_history import EndedRun


def test_one_line_per_run(tmp_path: Path) -> None:
    """A run is one JSON line with its tasks, its result and what was refused."""
    trace = Trace()
    file = tmp_path / "runs.jsonl"
    logger = KeeperLogger(tmp_path / "log")
    history = RunHistory(file, logger, trace)
    first, second = LiveRun({"id": "job"}, RunRequest(trigger="Startup")), LiveRun({"id": "other"})
    task = TaskRun("t", 7, 3, 0.5, b"out", b"err", stdout_dropped=10, result={"ä": "\ud800"})

    async def main() -> None:
        history.begin(first)
        history.begin(second)
        trace.add("mqtt", "dropped", "x dropped", denied=True, reason="why", job_id="job")
        first.run.tasks.append(task)
        second.run.skipped = "condition"
        await history.end(first)
        await history.end(second)

    asyncio.run(main())
    history.close()
    logger.close()
    assert (history.live, [run.job_id for run in history.ended]) == ([], ["job", "other"])
    one, two = map(json.loads, file.read_text().splitlines())
    assert (one["id"], one["jobId"], one["trigger"], one["exitCode"]) == (
        first.run.run_id, "job", "Startup", 3,
    )  # fmt: skip
    assert one["denials"] == ["x dropped: why"]
    assert one["tasks"][0]["stdoutBytes"] == 13
    assert (two["skipped"], two["tasks"], two["denials"]) == ("condition", [], [])


def test_secrets_that_the_agent_knows_are_in_no_line(tmp_path: Path) -> None:
    """Nor are they told to who is called at the end of a run."""
    trace = Trace()
    trace.secrets.add(["hunter2-ä"])
    logger = KeeperLogger(tmp_path / "log")
    history = RunHistory(tmp_path / "runs.jsonl", logger, trace)
    told: list[EndedRun] = []
    history.on_end = told.append
    live = LiveRun({"id": "job"})
    said = "the key is hunter2-ä"
    live.run.tasks.append(TaskRun("t", 7, 3, result={"key": said}, stderr_tail=said))

    async def main() -> None:
        history.begin(live)
        await history.end(live)

    asyncio.run(main())
    history.close()
    logger.close()
    line = json.loads((tmp_path / "runs.jsonl").read_text())
    masked = "the key is ********"
    assert (line["result"], line["tasks"][0]["stderrTail"]) == ({"key": masked}, masked)
    assert (told[0].result, told[0].failures[0].stderr_tail) == ({"key": masked}, masked)


def test_event_of_one_run_is_not_given_to_another_of_its_job(tmp_path: Path) -> None:
    """Of two runs of one job, each has its own events, and both have those that name no run."""
    trace = Trace()
    logger = KeeperLogger(tmp_path / "log")
    history = RunHistory(tmp_path / "runs.jsonl", logger, trace)
    one, two = LiveRun({"id": "job"}), LiveRun({"id": "job"})
    history.begin(one)
    history.begin(two)
    for run_id in (one.run.run_id, two.run.run_id, "ended", None):
        trace.add("mqtt", "connected", f"of {run_id}", job_id="job", run_id=run_id)
    history.close()
    logger.close()
    for run in (one.run, two.run):
        assert [event.what for event in run.trace] == [f"of {run.run_id}", "of None"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_full_disk_does_not_stop_the_agent(tmp_path: Path) -> None:
    """Log and history cannot be written: the trace says so, and the run ends well."""
    (tmp_path / "Log").mkdir()
    for name in ("KeeperLogger.log", "runs.jsonl"):
        (tmp_path / "Log" / name).symlink_to("/dev/full")
    with Agent(tmp_path) as agent:
        run = agent.run(write(tmp_path, TWO_TASKS), task="talker")
        assert run.exit_code == 0
        assert run.acknowledged == len(run.records) > 0
        said = [str(event) for event in agent.trace if event.action == "not_written"]
    assert "KeeperLogger.log was not written: [Errno 28] No space left on device" in said
    assert "the run history was not written: [Errno 28] No space left on device" in said
