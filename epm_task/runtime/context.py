"""A task context is what a handler can do beside its own work: log, publish, ask, stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from epm_task.errors import TopicNotDeclared
from epm_task.runtime.result import encode_object

if TYPE_CHECKING:
    import threading

    from epm_task.contract.topic import Topic
    from epm_task.runtime.agent.client import AgentClient
    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.invocation import Invocation
    from epm_task.runtime.log.log import Log

Payload = TypeVar("Payload")


class Publisher(Protocol):
    """Takes messages for the broker."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Accept one message."""


class Writable(Protocol):
    """What a context needs of a run log."""

    @property
    def log(self) -> Log:
        """Where records are written."""

    @property
    def pipe(self) -> Publisher:
        """Where messages go."""


class Stoppable(Protocol):
    """What a context needs to know about the end of the run."""

    @property
    def stopping(self) -> threading.Event:
        """Set when the run shall end."""

    def remaining(self) -> float:
        """Return the seconds left."""


class TaskContext:
    """The surroundings of one run, handed to the handler that asks for them.

    Attributes:
        log: Writes records: `ctx.log.info("scan_finished", found=3)`.
        agent: The agent's Plugin Settings API.
        job_id: Id of the job that started the task; "" without `mqttTopics`.
        job_name: Name of that job.
        run_id: Id of this run, as it stands in every record.
    """

    def __init__(
        self,
        declaration: Declaration,
        invocation: Invocation,
        run_log: Writable,
        agent: AgentClient,
        stop: Stoppable,
    ) -> None:
        self.log: Log = run_log.log
        self.agent = agent
        self.job_id = invocation.job_id or ""
        self.job_name = invocation.job_name
        self.run_id = invocation.run_id
        self._declaration = declaration
        self._pipe = run_log.pipe
        self._stop = stop

    @property
    def stopping(self) -> threading.Event:
        """Set when the run shall end; whoever asks for it promises to return within 2 s."""
        return self._stop.stopping

    def remaining(self) -> float:
        """Return the seconds left until the task's own deadline; infinity without one."""
        return self._stop.remaining()

    def publish(self, topic: Topic[Payload], payload: Payload) -> None:
        """Send *payload* as one JSON object on a topic that the task declares, at QoS 1.

        It returns when the message is accepted; the broker's acknowledgement is awaited before the
        process ends, and a message without one is written to stderr.

        Raises:
            TopicNotDeclared: `@task(publishes=[…])` does not hold the topic.
            ValueError: The payload is no object, or has no JSON form.
        """
        if topic.name not in self._declaration.own_publications:
            line = f"@task(publishes=[…, {topic!r}])"
            raise TopicNotDeclared(topic.name, self._declaration.job_id, line)
        self._pipe.publish(topic.name, encode_object(payload))
