"""`epm-task publish`: a message reaches a task, and an event starts the jobs that name it."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import options_of
from cli.command_line import epm_task

if TYPE_CHECKING:
    from epm_task.testing import Agent

EVENT = '{"eventType": "Finding", "path": "/etc"}'


def test_an_event_starts_every_job_that_names_it(agent: Agent) -> None:
    """With its payload as event context."""
    for name in ("first", "second"):
        document = {
            "id": name,
            "name": name,
            "events": [{"eventType": "Finding"}],
            "eventTopic": "Jobs/first/events",
            "mqttTopics": {"allowedPublications": ["KeeperLogger", "Jobs/first/events"]},
            "tasks": [{"id": "t", "name": "t", "command": "Missing", "arguments": "{path}"}],
        }
        agent.call_in_loop(lambda document=document: agent._local.jobs.put(document))  # type: ignore[misc]
    broker = f"{agent.broker_host}:{agent.broker_port}"
    done = epm_task(
        "publish", "Jobs/first/events", EVENT, "--broker", broker, "--json", *options_of(agent)
    )
    assert done.exit_code == 0, done.err
    assert json.loads(done.out) == {"topic": "Jobs/first/events", "broker": broker}
    agent.jobs.wait()
    found = [(run.job_id, run.trigger, run.context) for run in agent.jobs.ended()]
    assert sorted(found) == [(name, "Finding", json.loads(EVENT)) for name in ("first", "second")]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["a/b", "[]"], "write an object, in braces"),
        (["a/b", "{"], "not JSON"),
        (["a/#", "{}"], "not a topic"),
        (["", "{}"], "not a topic"),
        (["a", "{}", "--broker", "192.0.2.1:1"], "not an address on loopback"),
    ],
)
def test_what_cannot_be_published_is_refused(agent: Agent, words: list[str], why: str) -> None:
    """Before anybody is called."""
    done = epm_task("publish", *words, *options_of(agent))
    assert done.exit_code == 2
    assert why in done.err


def test_nobody_there_is_told(agent: Agent) -> None:
    """With the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        broker = f"127.0.0.1:{free.getsockname()[1]}"
        done = epm_task("publish", "a", "{}", "--broker", broker, *options_of(agent))
    assert done.exit_code == 69
    assert broker in done.err
