"""What a run meets: a broker, and an agent that leads to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from peers.mqtt_peer import MqttPeer
from peers.task_process import agent_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peers.http_peer import HttpPeer

    from epm_task.testing import Agent


@pytest.fixture
def broker() -> Iterator[MqttPeer]:
    """Run a broker."""
    with MqttPeer() as running:
        yield running


@pytest.fixture
def agent(broker: MqttPeer) -> Iterator[HttpPeer]:
    """Run an agent with that broker."""
    with agent_with(broker.port) as running:
        yield running


@pytest.fixture
def box(epm_task_server: Agent) -> Agent:
    """Return the agent in a box of this test process, as new; `agent` is a peer's here."""
    epm_task_server.reset()
    return epm_task_server
