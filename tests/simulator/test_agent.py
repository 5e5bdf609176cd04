"""Tests of the local agent, in the test's own event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from simulator.agent_process import add_program

from epm_task.simulator.agent import LocalAgent
from epm_task.simulator.embedded import Agent
from epm_task.simulator.jobs.run import LiveRun
from epm_task.simulator.options import AgentOptions
from epm_task.simulator.start_error import StartError, UnusableFile

if TYPE_CHECKING:
    from pathlib import Path


_SLEEP = {"id": "sleep", "tasks": [{"id": "s", "command": "sleeper"}]}


def test_startup_job_runs_once_at_the_start(tmp_path: Path) -> None:
    """A stored job with the event `Startup` runs when the agent starts, and at its next start."""
    add_program(tmp_path, "boot")
    (tmp_path / "Jobs" / "boot.json").write_text(
        '{"id": "boot", "events": ["Startup"], "tasks": [{"id": "t", "command": "boot"}]}'
    )

    async def main() -> list[tuple[str, int]]:
        async with LocalAgent(tmp_path) as agent:
            while not agent.history.ended:  # noqa: ASYNC110 - the history has no event for it
                await asyncio.sleep(0.005)
            return [(run.trigger, run.exit_code) for run in agent.history.ended]

    assert asyncio.run(main()) == asyncio.run(main()) == [("Startup", 0)]


def test_cancelled_run_leaves_nothing(tmp_path: Path) -> None:
    """Whoever stops waiting ends the run; the agent goes on."""
    add_program(tmp_path, "sleeper", "import time\ntime.sleep(60)\n")

    async def main() -> None:
        async with LocalAgent(tmp_path) as agent:
            run = agent.runner.run(LiveRun(_SLEEP))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run, 0.1)
            assert not agent.history.live
            assert agent.registry.candidates() == frozenset()

    asyncio.run(main())


def test_facts(tmp_path: Path) -> None:
    """The facts are what `epm-task agent --json` prints."""

    async def main() -> dict[str, object]:
        async with LocalAgent(tmp_path) as agent:
            return agent.facts()

    facts = asyncio.run(main())
    assert facts.keys() == {
        "base_url", "broker_host", "broker_port", "ca", "admin_cert", "admin_key", "root", "log",
    }  # fmt: skip


def test_failed_start_closes_everything(tmp_path: Path) -> None:
    """A root whose agent could not start is free again."""

    async def main() -> None:
        options = AgentOptions(host="192.0.2.1")
        with pytest.raises(OSError, match=r"assign|192\.0\.2\.1|10049"):
            async with LocalAgent(tmp_path, options):
                pass
        async with LocalAgent(tmp_path) as agent:
            with pytest.raises(StartError):
                await LocalAgent(tmp_path).__aenter__()
            assert agent.api.port

    asyncio.run(main())


@pytest.mark.parametrize("text", ["{", '{"Settings": {"KestrelHttpsPort": "many"}}'])
def test_broken_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    """An agent that takes its port from the file does not start."""
    file = tmp_path / "appsettings.json"
    file.write_text(text)
    with pytest.raises(UnusableFile):
        Agent(tmp_path, https_port=None).open()
    assert file.read_text() == text


def test_agent_takes_its_port_from_the_file(tmp_path: Path) -> None:
    """A second start without a port has the port of the first."""
    with Agent(tmp_path) as agent:
        first = agent.base_url
    with Agent(tmp_path, https_port=None) as agent:
        assert agent.base_url == first
