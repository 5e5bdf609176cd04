"""One agent for the tests of the verbs that ask one, reset after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def shared_agent() -> Iterator[Agent]:
    """An agent that all tests of this process share."""
    with Agent() as running:
        yield running


@pytest.fixture
def agent(shared_agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """The agent, without the jobs of another test; the test runs in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    yield shared_agent
    shared_agent.reset()
