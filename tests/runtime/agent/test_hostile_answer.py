"""Whatever answers instead of the agent, a run ends with a documented error and one sentence."""

from __future__ import annotations

import json

import pytest
from peers.garbling import garbled
from peers.hostile_answer import (
    HOSTILE,
    UNUSUAL,
    closing,
    endless_continue,
    endless_trailers,
    mutations,
)
from peers.http_answer import Answer, body, raw
from peers.http_peer import HttpPeer
from peers.patience import PATIENCE
from peers.task_process import assert_failed, run_task
from runtime.trusting import trusting_context

from epm_task.errors import (
    AgentProtocolError,
    AgentUnreachable,
    BrokerError,
    NotRegistered,
    SettingsError,
    UnknownSetting,
)
from epm_task.runtime.agent.address import broker_address
from epm_task.runtime.agent.client import AgentClient
from epm_task.runtime.settings import TaskSettings


class ScannerSettings(TaskSettings, plugin="P"):
    """A number below another key."""

    scan: dict[str, int]


SETTINGS = b'{"broker.host": "127.0.0.1", "broker.port": "8675", "scan.depth": 3}'


@pytest.mark.parametrize("name", HOSTILE)
def test_a_task_ends_with_76_at_once(name: str) -> None:
    """The answer is final, although the connection stays open; stderr holds no traceback."""
    with HttpPeer([raw(HOSTILE[name])]) as agent:
        ended = run_task("hello.py", f"--registration-timeout={PATIENCE}", agent=agent.base_url)
    assert_failed(ended, 76, agent.base_url, "check --keeper-api-base")
    assert len(agent.requests) == 1


@pytest.mark.parametrize("answer", [endless_continue(), endless_trailers()], ids=["100", "trailer"])
def test_an_answer_without_an_end_is_not_read_for_long(answer: Answer) -> None:
    """What is not a part of the body counts too."""
    with (
        HttpPeer([answer]) as peer,
        AgentClient(peer.base_url, trusting_context()) as client,
        pytest.raises(AgentProtocolError, match="without an end"),
    ):
        client.settings("P")


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_answer_is_taken(name: str) -> None:
    """What HTTP allows, and what is of no use here, changes nothing."""
    with (
        HttpPeer([raw(UNUSUAL[name])]) as peer,
        AgentClient(peer.base_url, trusting_context()) as client,
    ):
        assert [client.settings("P") for _ in range(2)] == [{}, {}]
    assert peer.per_connection == [2]


def test_a_mutated_answer_ends_with_a_documented_error() -> None:
    """Some hundred of them, drawn from a seed: no other error than those of the agent's client."""
    documented = (AgentProtocolError, AgentUnreachable, NotRegistered, UnknownSetting)
    answers = list(mutations(1, 400, SETTINGS))
    seen = set()
    with HttpPeer([closing(data) for data in answers]) as peer:
        for data in answers:
            with AgentClient(peer.base_url, trusting_context()) as client:
                try:
                    client.settings("P")
                except documented as error:
                    seen.add(type(error))
                except Exception as error:
                    error.add_note(repr(data))
                    raise
    assert {AgentProtocolError, AgentUnreachable} <= seen
    assert len(peer.requests) == len(answers)


def test_a_garbled_document_of_settings_ends_with_a_documented_error() -> None:
    """Each key dropped, renamed, or with another value: 76, 65, 78, or settings that are used."""
    variants = list(garbled(json.loads(SETTINGS)))
    answers = [body(json.dumps(variant).encode()) for _, variant in variants]
    ends = set()
    with HttpPeer(answers) as peer, AgentClient(peer.base_url, trusting_context()) as client:
        for what, _ in variants:
            try:
                found = client.register(PATIENCE).settings
                broker_address(found)
                ScannerSettings.from_document(found)
                ends.add(0)
            except (AgentProtocolError, SettingsError, BrokerError) as error:
                ends.add(error.exit_code)
            except Exception as error:
                error.add_note(what)
                raise
    assert ends == {0, 65, 76, 78}
    assert len(peer.requests) == len(variants)
