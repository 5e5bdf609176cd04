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
        self._untold: dict[str, int] = {}

    def publication(self, topic: str, payload_bytes: int) -> None:
        """A publication was denied."""
        if self._left > 0:
            self._left -= 1
            what = f'a publication on "{topic}" was dropped'
            self._tell(what, topic, self._missing(topic, "allowedPublications"), payload_bytes)
        elif topic in self._untold or len(self._untold) < _UNTOLD_TOPICS:
            self._untold[topic] = self._untold.get(topic, 0) + 1

    def subscription(self, topic_filter: str) -> None:
        """A subscription was denied."""
        what = f'a subscription to "{topic_filter}" was dropped'
        self._tell(what, topic_filter, self._missing(topic_filter, "allowedSubscriptions"))

    def will(self, topic: str, payload_bytes: int) -> None:
        """A will was denied."""
        what = f'a will on "{topic}" was dropped'
        self._tell(what, topic, self._missing(topic, "allowedPublications"), payload_bytes)

    def sum_up(self) -> None:
        """Tell how many more there were."""
        for topic, count in self._untold.items():
            what = f'{count} more publications on "{topic}" were dropped'
            self._tell(what, topic, self._missing(topic, "allowedPublications"))
        self._untold.clear()

    def _missing(self, topic: str, where: str) -> str:
        return f'"{topic}" does not stand in mqttTopics.{where} of job {self._job_id}'

    def _tell(self, what: str, topic: str, reason: str, payload_bytes: int = 0) -> None:
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
