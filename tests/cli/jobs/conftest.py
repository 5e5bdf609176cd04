"""One agent for the tests of `epm-task jobs`, reset after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from admin.admin_files import options_of
from cli.command_line import Finished, epm_task

from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def jobs_agent() -> Iterator[Agent]:
    """An agent that all tests of this process share."""
    with Agent() as running:
        yield running


@pytest.fixture
def agent(jobs_agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """The agent, without the jobs of another test; the test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    yield jobs_agent
    jobs_agent.reset()


@pytest.fixture
def jobs(agent: Agent) -> Callable[..., Finished]:
    """`epm-task jobs VERB …` with the agent's admin credential."""

    def run(verb: str, *words: object) -> Finished:
        return epm_task("jobs", verb, *words, *options_of(agent))

    return run
