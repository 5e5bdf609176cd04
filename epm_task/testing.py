"""What tests of tasks need: an agent to run them under, and a context for the bare handler."""

from __future__ import annotations

import json
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from epm_task.contract.names import JOB_ID_VARIABLE, JOB_NAME_VARIABLE
from epm_task.contract.record import Record
from epm_task.errors import EpmTaskError
from epm_task.runtime.broker.inbox import Inbox
from epm_task.runtime.broker.packet import Arrival
from epm_task.runtime.context import TaskContext
from epm_task.runtime.declaration import Declaration
from epm_task.runtime.invocation import Invocation, read_invocation
from epm_task.runtime.log.encoder import RecordEncoder
from epm_task.runtime.log.log import Log, Sink
from epm_task.runtime.result import encode_object
from epm_task.runtime.state import State
from epm_task.simulator.embedded import Agent
from epm_task.simulator.faults.faults import Faults
from epm_task.simulator.jobs.run import Publication, Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from epm_task.contract.topic import Topic
    from epm_task.runtime.agent.client import AgentClient

__all__ = ["Agent", "Faults", "HandlerContext", "Publication", "Record", "Run", "make_context"]


class HandlerContext(TaskContext):
    """A task context without a process around it; it keeps what the handler writes.

    Attributes:
        records: The records, in order.
        published: Topic and payload of each `ctx.publish`, in order.
    """

    def __init__(
        self,
        declaration: Declaration,
        invocation: Invocation,
        kept: Any,
        agent: Any,
        stop: Any,
    ) -> None:
        """Take what `make_context` made."""
        super().__init__(declaration, invocation, kept, agent, stop)
        self.records: list[Record] = kept.records
        self.published: list[tuple[str, dict[str, Any]]] = kept.published


def make_context(  # noqa: PLR0913  # keywords only, each with a default
    *,
    job_id: str = "test-job",
    job_name: str = "Test job",
    run_id: str = "test-run",
    publishes: Sequence[Topic[Any]] = (),
    remaining_seconds: float = float("inf"),
    agent: AgentClient | None = None,
    state: Mapping[str, Any] | None = None,
    messages: Mapping[Topic[Any], Sequence[object]] = MappingProxyType({}),
) -> HandlerContext:
    """Return a context for calling a handler as a plain function, without any agent.

    `key_scanner(make_context(), ScannerSettings(), root=tmp_path)` just calls the function. Set
    `ctx.stopping` to test how the handler stops. A handler that asks `ctx.agent` is better run
    under one; *publishes* are the topics on which the handler may publish, *state* is what
    `ctx.state` holds, in memory, and *messages* are what `ctx.messages` gives for each topic.
    """
    environ = {JOB_ID_VARIABLE: job_id, JOB_NAME_VARIABLE: job_name}
    invocation = read_invocation((), [], environ)._replace(run_id=run_id)
    declaration = Declaration(
        job_id=job_id,
        job_name=job_name,
        description="",
        publishes=tuple(publishes),
        subscribes=tuple(messages),
    )
    stop = _NoStop(remaining_seconds)
    kept = _Kept(invocation, messages)
    context = HandlerContext(declaration, invocation, kept, agent or _NoAgent(), stop)
    context.state = State(None, state)
    return context


class _Kept:
    """A run log, and a pipe, that keeps what it takes."""

    def __init__(
        self, invocation: Invocation, messages: Mapping[Topic[Any], Sequence[object]]
    ) -> None:
        job_id, run_id = str(invocation.job_id), invocation.run_id
        encoder = RecordEncoder(
            source=job_id, job_id=job_id, job_name=invocation.job_name, run_id=run_id
        )
        self.secrets = encoder.secrets
        self.sink = Sink(encoder, self.record)
        self.log = Log(self.sink, [], {})
        self.pipe = self
        self.records: list[Record] = []
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.inbox = Inbox(self.log)
        self.inbox.over = True
        for topic, payloads in messages.items():
            self.inbox.subscribe(topic.name)
            for payload in payloads:
                arrival = Arrival(topic.name, encode_object(payload), None, retained=False)
                self.inbox.receive([arrival])

    def record(self, level: int, line: bytes) -> None:  # noqa: ARG002  # the protocol has it
        """Keep one record."""
        self.records.append(Record.from_payload(line))

    def publish(self, topic: str, payload: bytes) -> None:
        """Keep one message."""
        self.published.append((topic, json.loads(payload)))


class _NoStop:
    """Never stops, unless the test sets the event."""

    def __init__(self, remaining_seconds: float) -> None:
        self.stopping = threading.Event()
        self._remaining_seconds = remaining_seconds

    def remaining(self) -> float:
        """Return the seconds that the test gave."""
        return self._remaining_seconds


class NoAgentGiven(EpmTaskError, RuntimeError):
    """The handler asked the agent, and its context has none."""


class _NoAgent:
    """Refuses every use, with a clear error."""

    def __getattr__(self, name: str) -> NoReturn:
        raise NoAgentGiven(
            f"ctx.agent.{name} was used, and make_context() has no agent",
            fix="run the task under the fixture `agent`, or pass agent=",
        )
