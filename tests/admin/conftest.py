"""One agent for the tests of the admin client, reset after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def admin_agent() -> Iterator[Agent]:
    """An agent that all tests of this process share."""
    with Agent() as running:
        yield running


@pytest.fixture
def agent(admin_agent: Agent) -> Iterator[Agent]:
    """The agent, without the jobs of another test."""
    yield admin_agent
    admin_agent.reset()
