"""What a handler can do beside its own work: log, publish, ask the agent, stop in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from epm_task.errors import TopicNotDeclared
from epm_task.runtime.result import encode_object

if TYPE_CHECKING:
    import threading

    from pydantic import SecretBytes, SecretStr

    from epm_task.contract.topic import Topic
    from epm_task.runtime.agent.client import AgentClient
    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.invocation import Invocation
    from epm_task.runtime.log.log import Log
    from epm_task.runtime.log.pipe import RunLog
    from epm_task.runtime.stop import Stop

Payload = TypeVar("Payload")


class TaskContext:
    """The surroundings of one run, handed to the handler that asks for them.

    Attributes:
        log: Writes records: `ctx.log.info("scan_finished", found=3)`.
        agent: The agent's Plugin Settings API.
        job_id: Id of the job that started the task; "" without `mqttTopics`.
        job_name: Name of that job.
        run_id: Id of this run, as every record has it.
    """

    def __init__(
        self,
        declaration: Declaration,
        invocation: Invocation,
        run_log: RunLog,
        agent: AgentClient,
        stop: Stop,
    ) -> None:
        self.log: Log = run_log.log
        self.agent = agent
        self.job_id = invocation.job_id or ""
        self.job_name = invocation.job_name
        self.run_id = invocation.run_id
        self._declaration = declaration
        self._pipe = run_log.pipe
        self._secrets = run_log.secrets
        self._stop = stop

    @property
    def stopping(self) -> threading.Event:
        """Set when the run shall end; whoever asks for it promises to return within 2 s."""
        return self._stop.stopping

    def remaining(self) -> float:
        """Return the seconds left until the task's own deadline; infinity without one."""
        return self._stop.remaining()

    def mask(self, *secrets: str | bytes | SecretStr | SecretBytes) -> None:
        """Put asterisks for these texts in all that the run writes from now on.

        Records, publications, the result, the last line of stderr, and what `print` writes; not in
        what C code or another program writes. Each line of a text is masked, and each form that
        JSON, `repr`, a URL or base64 gives it. Secret parameters and settings (`SecretStr`) need
        no call. A text of less than six characters is not masked: it would blot out ordinary words.
        """
        self._secrets.add(secrets)

    def publish(self, topic: Topic[Payload], payload: Payload) -> None:
        """Send *payload* as one JSON object on a topic that the task declares, at QoS 1.

        It returns when the message is accepted; the broker's acknowledgement is awaited before the
        process ends, and a message without one is written to stderr.

        Raises:
            TopicNotDeclared: `@task(publishes=[…])` does not hold the topic.
            ValueError: The payload is not an object, or has no JSON form.
        """
        if topic.name not in self._declaration.own_publications:
            line = f"@task(publishes=[…, {topic!r}])"
            raise TopicNotDeclared(topic.name, self._declaration.job_id, line)
        self._pipe.publish(topic.name, encode_object(payload))
