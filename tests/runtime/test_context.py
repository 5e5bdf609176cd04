"""Tests of the task context: what a handler knows, and what it may publish."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import BaseModel, SecretStr
from runtime.run_parts import declared, invoked

from epm_task.contract.topic import Topic
from epm_task.errors import TopicNotDeclared
from epm_task.runtime.agent.client import AgentClient
from epm_task.runtime.agent.tls import client_context
from epm_task.runtime.context import PayloadNotSerializable, TaskContext
from epm_task.runtime.log.encoder import Secrets


@dataclass
class Finding:
    """A dataclass as a payload."""

    path: str


class Model(BaseModel):
    """A pydantic model as a payload."""

    path: str
    token: SecretStr = SecretStr("hunter2-secret")


FINDINGS = Topic("Jobs/key-scanner/findings", payload=Finding)
COUNTS: Topic[dict[str, Any]] = Topic("Jobs/key-scanner/counts")
EVENTS: Topic[dict[str, Any]] = Topic("Jobs/key-scanner/events")
OTHER: Topic[dict[str, Any]] = Topic("Jobs/other")


class Kept:
    """Keeps what is published; stands for the pipe of a run."""

    def __init__(self) -> None:
        """Start empty."""
        self.messages: list[tuple[str, bytes]] = []
        self.log = cast("Any", object())
        self.secrets = Secrets()

    @property
    def pipe(self) -> Kept:
        """Take the messages too."""
        return self

    def publish(self, topic: str, payload: bytes) -> None:
        """Keep one message."""
        self.messages.append((topic, payload))


class Clock:
    """A run with five seconds left."""

    def __init__(self) -> None:
        """Start."""
        self.stopping = threading.Event()

    def remaining(self) -> float:
        """Return the seconds left."""
        return 5.0


@pytest.fixture
def kept() -> Kept:
    """What the handler publishes."""
    return Kept()


@pytest.fixture
def context(kept: Kept) -> TaskContext:
    """The context of a task that declares two topics and an event topic."""
    return make_context(kept)


def make_context(kept: Kept, *, stop: Clock | None = None, **given: Any) -> TaskContext:
    """Return a context of an invocation that was given this."""
    declaration = declared(publishes=(FINDINGS, COUNTS), event_topic=EVENTS)
    agent = AgentClient("https://127.0.0.1:1", client_context(None))
    doubles: Any = kept, agent, stop or Clock()
    return TaskContext(declaration, invoked(**given), *doubles)


@pytest.mark.parametrize(
    ("topic", "payload", "published"),
    [
        (FINDINGS, Finding("/a"), {"path": "/a"}),
        (COUNTS, {"found": 3}, {"found": 3}),
        (COUNTS, {}, {}),
        (COUNTS, Model(path="/a"), {"path": "/a", "token": "**********"}),
        (EVENTS, {"a": "é\u2028"}, {"a": "é\u2028"}),
    ],
)
def test_declared_topic_takes_objects(
    context: TaskContext, kept: Kept, topic: Topic[Any], payload: object, published: object
) -> None:
    """Each kind of object becomes one line of ASCII JSON on its topic."""
    context.publish(topic, payload)
    ((name, line),) = kept.messages
    assert (name, json.loads(line)) == (topic.name, published)
    assert line.isascii()
    assert b"\n" not in line


def test_topic_of_the_same_name_is_declared(context: TaskContext, kept: Kept) -> None:
    """The name counts, not the object."""
    context.publish(Topic(COUNTS.name), {})
    assert kept.messages == [(COUNTS.name, b"{}")]


@pytest.mark.parametrize(
    ("topic", "line"),
    [
        (OTHER, "@task(publishes=[…, Topic('Jobs/other')])"),
        (Topic("A", payload=Finding), "@task(publishes=[…, Topic('A', payload=Finding)])"),
        (Topic("Jobs/key-scanner"), "@task(publishes=[…, Topic('Jobs/key-scanner')])"),
        (Topic("KeeperLogger"), "@task(publishes=[…, Topic('KeeperLogger')])"),
    ],
)
def test_other_topic_is_refused_with_the_line_to_write(
    context: TaskContext, kept: Kept, topic: Topic[Any], line: str
) -> None:
    """The broker would drop the message silently, so the call raises and names the declaration."""
    with pytest.raises(TopicNotDeclared) as refused:
        context.publish(topic, {})
    assert f"{topic.name!r} is not declared by the task 'key-scanner'" in str(refused.value)
    assert str(refused.value).endswith(f"add it: {line}")
    assert kept.messages == []


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("a/b", ["'a/b' is a text, not a Topic", "RESULTS = Topic('a/b')", "publish(RESULTS,"]),
        (COUNTS.name, [f"{COUNTS.name!r} is the name of a Topic", "publish on the Topic that"]),
        (None, ["a NoneType is not a Topic", "Topic('Jobs/key-scanner/results')"]),
        ({"token": "hunter2"}, ["a dict is not a Topic", "declare a Topic"]),
        (Path("a/b"), ["is not a Topic"]),
        (Topic, ["a type is not a Topic"]),
    ],
)
def test_what_is_no_topic_is_refused_with_the_lines_to_write(
    context: TaskContext, kept: Kept, topic: Any, words: list[str]
) -> None:
    """A text is taken for the name to declare; no other value is shown."""
    with pytest.raises(TopicNotDeclared) as refused:
        context.publish(topic, {})
    assert [word for word in words if word not in str(refused.value)] == []
    assert "hunter2" not in str(refused.value)
    assert kept.messages == []


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ([1], "a list is not an object"),
        ("text", "a str is not an object"),
        (None, "a NoneType is not an object"),
        (Finding, "type has no JSON form"),
        ({"a": float("nan")}, "/a: nan is no number in JSON"),
        ({"a": SecretStr("hunter2-secret")}, "/a: SecretStr has no JSON form"),
    ],
)
def test_payload_without_a_json_form_is_refused(
    context: TaskContext, kept: Kept, payload: Any, why: str
) -> None:
    """What is not an object, or holds a secret, is refused and not shown."""
    with pytest.raises(PayloadNotSerializable, match=why) as refused:
        context.publish(COUNTS, payload)
    assert isinstance(refused.value, ValueError)
    assert "hunter2" not in str(refused.value)
    assert kept.messages == []


@pytest.mark.parametrize(("given", "job_id"), [({}, "key-scanner"), ({"job_id": None}, "")])
def test_run_is_known(kept: Kept, given: dict[str, Any], job_id: str) -> None:
    """Job and run are those of the invocation; without a job the id is empty."""
    found = make_context(kept, **given)
    assert (found.job_id, found.job_name, found.run_id) == (job_id, "Key scanner", "7f")
    assert found.log is kept.log


def test_end_of_the_run_is_known(kept: Kept) -> None:
    """The context asks the stop of the run, each time anew."""
    stop = Clock()
    found = make_context(kept, stop=stop)
    assert found.remaining() == 5.0
    assert not found.stopping.is_set()
    stop.stopping.set()
    assert found.stopping.is_set()


def test_text_of_the_author_is_masked() -> None:
    """`mask` takes any number of texts, and hides each one from then on."""
    kept = Kept()
    context = TaskContext(
        declared(), invoked(), cast("Any", kept), cast("Any", None), cast("Any", Clock())
    )
    context.mask("first-secret", "second-secret")
    assert kept.secrets.hide("first-secret, second-secret, third") == "********, ********, third"
