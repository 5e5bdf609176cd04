"""A topic carries the type of its payload to where it is published."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import assert_type

from epm_task import TaskContext, Topic, task
from epm_task.runtime.agent.client import AgentClient


@dataclass
class Finding:
    """One private key."""

    path: str


FINDINGS = Topic("Jobs/key-scanner/findings", payload=Finding)
UNTYPED: Topic[dict[str, int]] = Topic("Jobs/key-scanner/counts")


@task(publishes=[FINDINGS, UNTYPED])
def publisher(ctx: TaskContext) -> None:
    """Publish what the topics take."""
    ctx.publish(FINDINGS, Finding("/a.pem"))
    ctx.publish(UNTYPED, {"found": 1})


def keeps_payload() -> None:
    """The payload's type is part of the topic's."""
    assert_type(FINDINGS, Topic[Finding])
    assert_type(FINDINGS.name, str)


def context_is_typed(ctx: TaskContext) -> None:
    """What a handler finds in its context has a type."""
    assert_type(ctx.remaining(), float)
    assert_type(ctx.stopping, threading.Event)
    assert_type(ctx.agent, AgentClient)
    assert_type(ctx.job_id, str)
    assert_type(ctx.agent.settings("KeyScanner"), dict[str, str])


def refuses(ctx: TaskContext) -> None:
    """A payload of another type is an error of the type checker."""
    ctx.publish(FINDINGS, {"path": "/a.pem"})  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    ctx.publish(UNTYPED, {"found": "1"})  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    ctx.publish("Jobs/x", {"found": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Topic(FINDINGS)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
