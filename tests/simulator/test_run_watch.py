"""Tests of the run watch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from simulator.task_files import TWO_TASKS, write

from epm_task.simulator.agent import Agent

if TYPE_CHECKING:
    from pathlib import Path


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
        said = [str(event) for event in agent.trace if "not written" in event.what]
    assert "KeeperLogger.log was not written: [Errno 28] No space left on device" in said
    assert "the run history was not written: [Errno 28] No space left on device" in said
