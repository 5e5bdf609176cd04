"""What the tests of the console share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from simulator.console.visitor import Visitor

from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """An agent with a console."""
    with Agent(console_port=0) as agent:
        yield agent


@pytest.fixture(scope="module")
def visitor(agent: Agent) -> Iterator[Visitor]:
    """A browser that was let in."""
    assert agent.console
    with Visitor(agent.console) as visitor:
        yield visitor
