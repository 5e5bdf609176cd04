"""Tests of the run history."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from simulator.task_files import TWO_TASKS, write

from epm_task.simulator.embedded import Agent
from epm_task.simulator.jobs.history import RunHistory
from epm_task.simulator.jobs.run import JobRun, TaskRun
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from pathlib import Path


def test_one_line_per_run(tmp_path: Path):
    """A run is one JSON line with its tasks, its result and what was refused."""
    trace = Trace()
    denial = trace.add("mqtt", "dropped", "PUBLISH x dropped", denied=True, reason="not declared")
    history = RunHistory(tmp_path / "runs.jsonl")
    task = TaskRun("t", 7, 3, 0.5, b"out", b"err", stdout_dropped=10, result={"ä": "\ud800"})
    history.append(JobRun("r1", "job", "Startup", [task], 0.6), [denial])
    history.append(JobRun("r2", "job", "interval", skipped="condition"), [])
    history.close()
    first, second = map(json.loads, (tmp_path / "runs.jsonl").read_text().splitlines())
    assert (first["id"], first["jobId"], first["trigger"], first["exitCode"]) == (
        "r1", "job", "Startup", 3,
    )  # fmt: skip
    assert first["denials"] == ["PUBLISH x dropped: not declared"]
    assert first["tasks"][0]["stdoutBytes"] == 13
    assert second["skipped"] == "condition"
    assert second["tasks"] == []


def test_exit_code_and_result_of_a_run():
    """The first failure counts, and the last result."""
    tasks = [TaskRun("a", result={"a": 1}), TaskRun("b", exit_code=2), TaskRun("c", exit_code=3)]
    run = JobRun("r", "j", "t", tasks)
    assert (run.exit_code, run.result) == (2, {"a": 1})
    assert JobRun("r", "j", "t", problem="x").exit_code == 1
    assert JobRun("r", "j", "t").result is None


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_full_disk_does_not_stop_the_agent(tmp_path: Path):
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
