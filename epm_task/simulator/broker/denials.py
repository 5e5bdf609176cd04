"""A denial is what the broker dropped while it answered as if it had carried it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from epm_task.simulator.broker.admission import Traces

#: Topics for which further denials are counted.
_UNTOLD_TOPICS: Final = 1_000


class Denials:
    """The denials of one client.

    A task without `KeeperLogger` in its topics can be denied 100 000 times; told one by one, they
    would push everything else out of the trace.

    Args:
        traces: Where they are told.
        client_id: Whose they are.
        job_id: The client's job.
        told: So many are told one by one; the rest is summed up by topic.
    """

    def __init__(self, traces: Traces, client_id: str, job_id: str | None, told: int) -> None:
        """Start without any."""
        self._traces: Final = traces
        self._client_id: Final = client_id
        self._job_id: Final = job_id
        self._left = told
        self._untold: dict[tuple[str, str, str], int] = {}

    def publication(self, topic: str, payload_bytes: int) -> None:
        """A publication was denied."""
        self._deny("publication on", topic, self._missing("Publications"), payload_bytes)

    def subscription(self, topic_filter: str) -> None:
        """A subscription was denied."""
        self._deny("subscription to", topic_filter, self._missing("Subscriptions"))

    def one_subscription_too_many(self, topic_filter: str) -> None:
        """A subscription was refused for its number."""
        self._deny("subscription to", topic_filter, "the client has too many subscriptions")

    def will(self, topic: str, payload_bytes: int) -> None:
        """A will was denied."""
        self._deny("will on", topic, self._missing("Publications"), payload_bytes)

    def sum_up(self) -> None:
        """Tell how many more there were."""
        for (what, topic, reason), count in self._untold.items():
            self._tell(f'{count} times more: a {what} "{topic}" was dropped', topic, reason, 0)
        self._untold.clear()

    def _missing(self, where: str) -> str:
        return f"it does not stand in mqttTopics.allowed{where} of job {self._job_id}"

    def _deny(self, what: str, topic: str, reason: str, payload_bytes: int = 0) -> None:
        key = (what, topic, reason)
        if self._left > 0:
            self._left -= 1
            self._tell(f'a {what} "{topic}" was dropped', topic, reason, payload_bytes)
        elif key in self._untold or len(self._untold) < _UNTOLD_TOPICS:
            self._untold[key] = self._untold.get(key, 0) + 1

    def _tell(self, what: str, topic: str, reason: str, payload_bytes: int) -> None:
        self._traces.add(
            "mqtt",
            what,
            denied=True,
            reason=reason,
            topic=topic,
            client_id=self._client_id,
            job_id=self._job_id,
            bytes=payload_bytes,
        )
