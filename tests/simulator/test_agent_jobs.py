"""Tests of the agent's jobs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from epm_task.simulator.agent import Agent
from epm_task.simulator.agent_jobs import InvalidJob
from epm_task.simulator.job_store import UnknownJob

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are POSIX")


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An agent in which the condition of the job `picky` is not met."""
    with Agent(conditions={"picky": False}, grace_seconds=0.2) as agent:
        yield agent


def _job(job_id: str, command: str, **more: Any) -> dict[str, Any]:
    task = {"id": "t", "name": "T", "command": command, **more.pop("task", {})}
    return {"id": job_id, "name": job_id, "events": ["E"], "tasks": [task], **more}


def test_invalid_job_is_refused(agent: Agent):
    """The full validator runs, and nothing is stored."""
    with pytest.raises(InvalidJob, match="binary not found"):
        agent.jobs.add(_job("j", "no-such-program"))
    assert agent.jobs.ids() == []


def test_unknown_job(agent: Agent):
    """A job that is not stored can be neither read, triggered nor deleted."""
    for verb in (agent.jobs.get, agent.jobs.trigger, agent.jobs.delete):
        with pytest.raises(UnknownJob):
            verb("nobody")


def test_alternative_job_runs(agent: Agent):
    """A condition that is not met leads to the stored job that `alternateJobId` names."""
    condition = {"condition": {"x": 1}, "alternateJobId": "other"}
    agent.jobs.add(_job("picky", "false", **condition))
    assert "no alternateJobId names a job" in agent.jobs.trigger("picky").job_run.skipped
    agent.jobs.add(_job("other", "true"))
    run = agent.jobs.trigger("picky")
    assert (run.exit_code, run.job_run.job_id) == (0, "other")


def test_plugin_setting_skips_a_task(agent: Agent):
    """The setting is looked up in the agent's own store; an unknown plugin skips nothing."""
    agent.jobs.add(_job("j", "true", task={"SkipWhenPluginSettingFalse": "Scanner:enabled"}))
    assert not agent.jobs.trigger("j").job_run.tasks[0].skipped
    agent.settings["Scanner"]["enabled"] = "false"
    assert "enabled of Scanner is false" in agent.jobs.trigger("j").job_run.tasks[0].skipped


def test_wait_is_bounded(agent: Agent):
    """A run that goes on is not waited for beyond the time."""
    agent.jobs.add(_job("long", "sleep", task={"arguments": "60"}, schedule={"intervalMinutes": 1}))
    agent.clock.advance(minutes=3)
    with pytest.raises(TimeoutError, match="still goes on"):
        agent.jobs.wait(0.02)
    assert agent.jobs.ended() == []


def test_reset_forgets_jobs_and_programs():
    """The next test finds neither documents nor what a test put into `Jobs/bin`."""
    with Agent() as agent:
        agent.jobs.add(_job("j", "true"))
        program = agent.root / "Jobs" / "bin" / "Probe"
        program.mkdir()
        (program / "Probe").write_text("x")
        (program.parent / "stray").write_text("x")
        agent.reset()
        assert agent.jobs.ids() == []
        assert list(program.parent.iterdir()) == []
