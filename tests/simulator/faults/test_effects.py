"""What a fault does to a request of the API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import pytest
from simulator.api.api_agent import ApiAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYSTEM = "/api/PluginSettings/KeeperPrivilegeManager"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ApiAgent]:
    """An agent that launched this test."""
    with ApiAgent(tmp_path) as agent:
        agent.trust_this_process()
        yield agent


@pytest.fixture
def client(agent: ApiAgent) -> Iterator[httpx.Client]:
    """A client without a certificate."""
    with agent.client() as client:
        yield client


def test_a_status_fault_answers_so_often_as_it_is_given(
    agent: ApiAgent, client: httpx.Client
) -> None:
    """Three times 403, then the truth; the trace names the fault."""
    agent.faults.api(status=403, times=2)
    agent.faults.api(status=500, times=1)
    assert [client.get(SYSTEM).status_code for _ in range(4)] == [403, 403, 500, 200]
    faults = [event.reason for event in agent.trace if "fault" in event.facts]
    assert faults == ["fault status=403", "fault status=403", "fault status=500"]


def test_a_status_without_a_phrase_can_be_answered(agent: ApiAgent, client: httpx.Client) -> None:
    """Any number can be a status."""
    agent.faults.api(status=599)
    assert client.get(SYSTEM).status_code == 599


def test_a_delay_comes_before_the_true_answer(agent: ApiAgent, client: httpx.Client) -> None:
    """The request is served after that."""
    agent.faults.api(delay=0.1)
    start = time.monotonic()
    assert client.get(SYSTEM).status_code == 200
    assert time.monotonic() - start >= 0.1


def test_a_drip_is_the_true_answer_byte_by_byte(agent: ApiAgent, client: httpx.Client) -> None:
    """It comes slowly and whole."""
    agent.faults.api(drip=0.002)
    start = time.monotonic()
    response = client.get(SYSTEM)
    assert response.json()["broker.port"] == "8675"
    assert time.monotonic() - start >= 0.002 * len(response.content)


@pytest.mark.parametrize("fault", ["drip=0.01", "oversize=52428800"])
def test_a_client_may_leave_before_the_end(agent: ApiAgent, fault: str) -> None:
    """The agent serves the next one."""
    agent.faults.add(f"api {fault} times=1")
    with agent.client() as client, client.stream("GET", SYSTEM) as response:
        assert response.status_code == 200
    with agent.client() as client:
        assert client.get(SYSTEM).status_code == 200


def test_a_redirect_names_its_target(agent: ApiAgent, client: httpx.Client) -> None:
    """A client that follows it is in the wrong."""
    agent.faults.api(redirect="https://127.0.0.1:1/x")
    response = client.get(SYSTEM)
    assert (response.status_code, response.headers["location"]) == (302, "https://127.0.0.1:1/x")


def test_an_oversize_answer_has_its_size(agent: ApiAgent, client: httpx.Client) -> None:
    """All of it comes."""
    agent.faults.api(oversize=200_000)
    assert len(client.get(SYSTEM).content) == 200_000


def test_a_reset_ends_the_connection(agent: ApiAgent, client: httpx.Client) -> None:
    """The client sees no answer."""
    agent.faults.api(reset=True, times=1)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        client.get(SYSTEM)
    assert client.get(SYSTEM).status_code == 200


def test_garbage_is_200_and_no_json(agent: ApiAgent, client: httpx.Client) -> None:
    """It claims to be JSON."""
    agent.faults.api(garbage=True, times=1)
    response = client.get(SYSTEM)
    assert response.headers["content-type"] == "application/json"
    with pytest.raises(ValueError, match=r".+"):
        response.json()
