"""A will is the message that a client leaves for the case that its connection breaks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from epm_task.simulator.broker.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.broker.admission import Admission
    from epm_task.simulator.broker.connect import WillFields


@dataclass(frozen=True, slots=True)
class Will:
    """A will that its client's permissions allow."""

    fields: WillFields
    client_id: str
    job_id: str | None
    run_id: str | None

    def message(self) -> Message:
        """Return the message to publish now; its expiry counts from here."""
        publication = self.fields.publication
        expiry = publication.expiry_seconds if publication else None
        return Message(
            topic=self.fields.topic,
            payload=self.fields.payload,
            qos=self.fields.qos,
            retain=self.fields.retain,
            client_id=self.client_id,
            job_id=self.job_id,
            run_id=self.run_id,
            properties=publication.properties if publication else None,
            forwarded=publication.forwarded if publication else b"",
            expires_at=None if expiry is None else monotonic() + expiry,
        )


def allowed_will(fields: WillFields | None, client_id: str, admission: Admission) -> Will | None:
    """Return the will of a client, or None when it has none or must not publish on its topic."""
    if fields is None or not admission.may_publish(fields.topic):
        return None
    return Will(fields, client_id, admission.job_id, admission.run_id)


class PendingWills:
    """The wills whose delay runs.

    Args:
        publish: Called with each will's message when its time has come.
    """

    def __init__(self, publish: Callable[[Message], object]) -> None:
        """Start empty."""
        self._publish = publish
        self._pending: dict[str, tuple[Will, asyncio.TimerHandle | None]] = {}

    def leave(self, will: Will, session_seconds: float) -> None:
        """Publish *will* after its delay, or at the end of its session when that comes first."""
        delay = min(will.fields.delay_seconds, session_seconds)
        if delay <= 0:
            self._publish(will.message())
            return
        timer = asyncio.get_running_loop().call_later(delay, self.execute, will.client_id)
        self._pending[will.client_id] = (will, timer)

    def execute(self, client_id: str) -> None:
        """Publish the pending will of *client_id* now, if there is one."""
        if found := self._take(client_id):
            self._publish(found.message())

    def withdraw(self, client_id: str) -> None:
        """Forget the pending will of *client_id*: the client is back in its session."""
        self._take(client_id)

    def clear(self) -> None:
        """Forget all."""
        for client_id in list(self._pending):
            self._take(client_id)

    def _take(self, client_id: str) -> Will | None:
        will, timer = self._pending.pop(client_id, (None, None))
        if timer is not None:
            timer.cancel()
        return will
