"""One agent for the tests of `epm-task deploy`, without what another test deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from admin.admin_files import options_of
from admin.deploy.bundle_files import forget_deployments
from cli.command_line import Finished, epm_task
from cli.deploy.forked import Forked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from epm_task.testing import Agent


@pytest.fixture
def agent(agent: Agent) -> Iterator[Agent]:
    """The agent with no jobs and no programs."""
    yield agent
    agent.reset()  # the agent must not run what is taken away
    forget_deployments(agent)


@pytest.fixture
def deploy(agent: Agent) -> Callable[..., Finished]:
    """`epm-task deploy VERB …` on the agent's root, with its admin credential."""

    def run(verb: str, *words: object) -> Finished:
        connection = [] if verb == "status" else options_of(agent)
        return epm_task("deploy", verb, *words, "--agent-root", agent.root, *connection)

    return run


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Commands in processes of their own."""
    with Forked(tmp_path_factory.mktemp("forked")) as made:
        yield made
