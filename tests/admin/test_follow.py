"""Tests of following a run, with a source and a history that tests write."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from epm_task.admin.follow import Follower
from epm_task.admin.log_records import LogRecords
from epm_task.admin.run_history import RunHistory

if TYPE_CHECKING:
    from pathlib import Path


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
        LogRecords(log, "probe"), RunHistory(runs), lambda record: shown.append(record["message"])
    )

    def write() -> None:
        append(log, jobId="probe", message="first")
        append(log, jobId="other", message="other")
        append(runs, id="r", jobId="probe", exitCode=5)
        time.sleep(0.1)
        append(log, jobId="probe", message="last")

    writer = threading.Thread(target=write)
    writer.start()
    ended = follower.follow("probe", "r", 10)
    writer.join()
    follower.close()
    assert ended is not None
    assert (ended.exit_code, shown) == (5, ["first", "last"])


def test_an_end_that_nobody_saw_is_none(tmp_path: Path) -> None:
    """With neither source nor history there is only the time."""
    began = time.monotonic()
    assert Follower(None, RunHistory(tmp_path / "runs"), print).follow("probe", "r", 0.1) is None
    assert Follower(None, None, print).follow("probe", "", 0.1) is None
    assert time.monotonic() - began < 2
