"""One agent for the tests of deployments, without what another test deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from admin.admin_files import credential_of
from admin.deploy.bundle_files import forget_deployments

from epm_task.admin.client import AdminClient
from epm_task.admin.deploy.apply import Target
from epm_task.admin.deploy.deploy_root import DeployRoot
from epm_task.contract.layout import AgentRoot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.testing import Agent


@pytest.fixture
def root(agent: Agent) -> Iterator[DeployRoot]:
    """The deploy root of the agent, empty and held."""
    made = DeployRoot(AgentRoot(agent.root))
    with made.held():
        yield made
    forget_deployments(agent)


@pytest.fixture
def target(agent: Agent, root: DeployRoot) -> Iterator[Target]:
    """The agent as a deployment sees it; what is said goes nowhere."""
    with AdminClient(agent.base_url, credential_of(agent)) as admin:
        yield Target(root, admin, lambda text: None)
