"""The session table finds a client's session, hands it over, ends it in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from epm_task.simulator.broker.connect import NEVER_SECONDS
from epm_task.simulator.broker.message import Message
from epm_task.simulator.broker.reason import SESSION_TAKEN_OVER
from epm_task.simulator.broker.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.broker.admission import Admission
    from epm_task.simulator.broker.connect import Connect, WillFields
    from epm_task.simulator.broker.limits import Limits
    from epm_task.simulator.broker.session import SubscriptionTable
    from epm_task.simulator.trace import Trace


class SessionTable:
    """All sessions of one broker, by client id. Only admitted clients ever reach it."""

    def __init__(
        self, limits: Limits, traces: Trace, subscriptions: SubscriptionTable, wills: PendingWills
    ) -> None:
        """Start empty."""
        self._limits = limits
        self._traces = traces
        self._subscriptions = subscriptions
        self._wills = wills
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._sessions)

    def open(self, connect: Connect, client_id: str, admission: Admission) -> tuple[Session, bool]:
        """Return the session of an admitted client, and whether it is an older one.

        A connection that holds it is closed. A session that belongs to somebody else is not handed
        over but ended: its subscriptions were allowed to that one.
        """
        held = self._sessions.get(client_id)
        if held is not None and held.link is not None:
            held.link.end(SESSION_TAKEN_OVER, "its client has connected again")
        session = self._sessions.get(client_id)
        present = session is not None and not connect.clean and session.belongs_to(admission)
        if session is None or not present:
            if session is not None:
                self.end(session)
            session = Session(client_id, admission, self._limits, self._traces)
            self._sessions[client_id] = session
        else:
            self._resume(session, admission)
        session.expiry_seconds = connect.expiry_seconds
        return session, present

    def _resume(self, session: Session, admission: Admission) -> None:
        _stop_timer(session)
        self._wills.withdraw(session.client_id)
        for topic_filter in list(session.subscriptions):
            if not admission.may_subscribe(topic_filter):
                self._subscriptions.remove(session, topic_filter)
                self._traces.add(
                    "mqtt",
                    "dropped",
                    f'the subscription of "{session.client_id}" to "{topic_filter}" was ended',
                    denied=True,
                    reason="it is no longer allowed to this job",
                    topic=topic_filter,
                    client_id=session.client_id,
                    job_id=session.job_id,
                )

    def leave(self, session: Session) -> None:
        """Let the client of *session* go; the session ends now or after its expiry."""
        session.detach()
        if self._sessions.get(session.client_id) is not session:
            return
        if session.expiry_seconds <= 0:
            self.end(session)
            return
        # The last to leave stands last, so that the longest absent is the first one found.
        self._sessions[session.client_id] = self._sessions.pop(session.client_id)
        if session.expiry_seconds < NEVER_SECONDS:
            loop = asyncio.get_running_loop()
            session.expiry_timer = loop.call_later(session.expiry_seconds, self.end, session)
        self._make_room()

    def _make_room(self) -> None:
        absent = [session for session in self._sessions.values() if session.link is None]
        for session in absent[: max(0, len(absent) - self._limits.absent_sessions)]:
            self._traces.add(
                "mqtt",
                "dropped",
                f'the session of "{session.client_id}" was ended',
                reason=f"more than {self._limits.absent_sessions} clients are away",
                client_id=session.client_id,
                job_id=session.job_id,
            )
            self.end(session)

    def end(self, session: Session) -> None:
        """Forget *session*; a will that waited for its end is published."""
        _stop_timer(session)
        self._subscriptions.remove_all(session)
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]
        self._wills.execute(session.client_id)

    def clear(self) -> None:
        """Forget all sessions."""
        self._wills.clear()
        for session in list(self._sessions.values()):
            self.end(session)


def _stop_timer(session: Session) -> None:
    if session.expiry_timer is not None:
        session.expiry_timer.cancel()
        session.expiry_timer = None


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
