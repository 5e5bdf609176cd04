"""Tests of following a run: its records, and its end in the run history."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from admin.admin_files import add_binary, job_document
from peers.patience import PATIENCE

from epm_task.admin.follow import Follower, last_run
from epm_task.admin.records import LogRecords
from epm_task.contract.layout import AgentRoot

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.testing import Agent


def line(**fields: Any) -> bytes:
    """Return a line of the history."""
    return json.dumps({"id": "r1", "jobId": "probe", "exitCode": 0, **fields}).encode() + b"\n"


def test_the_agents_own_history_is_read(agent: Agent) -> None:
    """As the simulator writes it."""
    add_binary(agent, script="#!/bin/sh\necho '{\"a\": 1}'\nexit 3\n")
    agent.jobs.add(job_document())
    agent.jobs.trigger("probe")
    run = last_run(AgentRoot(agent.root).run_history, "probe")
    assert run is not None
    assert (run.exit_code, run.result, run.skipped, run.timed_out) == (3, {"a": 1}, "", False)


def test_the_last_run_of_the_job_counts(tmp_path: Path) -> None:
    """Other jobs, and lines that are none, are passed over."""
    path = tmp_path / "runs.jsonl"
    path.write_bytes(line(exitCode=1) + line(id="r2") + line(jobId="other") + b"broken\n")
    run = last_run(path, "probe")
    assert run is not None
    assert run.run_id == "r2"
    assert last_run(path, "none") is None


def test_the_end_of_one_run_is_waited_for(tmp_path: Path) -> None:
    """Without an id the next run of the job counts."""
    path = tmp_path / "runs.jsonl"
    path.write_bytes(line(id="old"))
    one, any_run = Follower(None, path, print), Follower(None, path, print)
    assert one.follow("probe", "r2", 0.1) is None
    with path.open("ab") as file:
        file.write(line(id="r1") + line(id="r2", exitCode=-9))
    found = one.follow("probe", "r2", PATIENCE)
    assert found is not None
    assert (found.exit_code, found.shell_exit_code) == (-9, 137)
    assert any_run.follow("probe", "", PATIENCE).run_id == "r1"  # type: ignore[union-attr]


def append(path: Path, **fields: Any) -> None:
    """Add one JSON line."""
    with path.open("a") as file:
        file.write(json.dumps(fields) + "\n")


def test_records_are_shown_also_after_the_end(tmp_path: Path) -> None:
    """The agent may write the last ones a moment later; other jobs are passed over."""
    log, runs = tmp_path / "log", tmp_path / "runs"
    append(log, jobId="probe", message="before")
    shown: list[str] = []
    follower = Follower(
        LogRecords(log, "probe"), runs, lambda record: shown.append(record["message"])
    )

    def write() -> None:
        append(log, jobId="probe", message="first")
        append(log, jobId="other", message="other")
        append(runs, id="r", jobId="probe", exitCode=5)
        time.sleep(0.1)
        append(log, jobId="probe", message="last")

    writer = threading.Thread(target=write)
    writer.start()
    ended = follower.follow("probe", "r", PATIENCE)
    writer.join()
    follower.close()
    assert ended is not None
    assert (ended.exit_code, shown) == (5, ["first", "last"])


def test_an_end_that_nobody_saw_is_none(tmp_path: Path) -> None:
    """With neither source nor history there is only the time."""
    assert Follower(None, tmp_path / "runs", print).follow("probe", "r", 0.1) is None
    assert Follower(None, None, print).follow("probe", "", 0.1) is None
