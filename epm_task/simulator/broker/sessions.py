"""Find the session of a client, hand it over, end it in time, and publish wills."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from epm_task.simulator.broker.packet import Reason
from epm_task.simulator.broker.parse import NEVER_SECONDS
from epm_task.simulator.broker.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.broker.connection import Limits
    from epm_task.simulator.broker.message import Message
    from epm_task.simulator.broker.parse import Connect, Will
    from epm_task.simulator.broker.subscriptions import SubscriptionTable
    from epm_task.simulator.processes.registry import MqttAdmission
    from epm_task.simulator.trace import Trace


class SessionTable:
    """All sessions of one broker, by client id. Only admitted clients ever reach it.

    *publish* is called with the message of a will whose time has come.
    """

    def __init__(
        self,
        limits: Limits,
        trace: Trace,
        subscriptions: SubscriptionTable,
        publish: Callable[[Message], object],
    ) -> None:
        self._limits: Final = limits
        self._trace: Final = trace
        self._subscriptions: Final = subscriptions
        self._publish: Final = publish
        self._sessions: dict[str, Session] = {}
        self._wills: dict[str, tuple[Will, asyncio.TimerHandle]] = {}  #: Wills whose delay runs.

    def __len__(self) -> int:
        return len(self._sessions)

    def open(
        self, connect: Connect, client_id: str, admission: MqttAdmission
    ) -> tuple[Session, bool]:
        """Return the session of an admitted client, and whether it is an older one.

        A connection that holds it is closed. A session that belongs to somebody else is not handed
        over but ended: its subscriptions were allowed to that one.
        """
        held = self._sessions.get(client_id)
        if held is not None and held.connection is not None:
            held.connection.end(Reason.SESSION_TAKEN_OVER, "its client has connected again")
        session = self._sessions.get(client_id)
        present = session is not None and not connect.clean and session.belongs_to(admission)
        if session is None or not present:
            if session is not None:
                self.end(session)
            session = Session(client_id, admission, self._limits, self._trace)
            self._sessions[client_id] = session
        else:
            self._resume(session, admission)
        session.expiry_seconds = connect.expiry_seconds
        return session, present

    def _resume(self, session: Session, admission: MqttAdmission) -> None:
        _stop_timer(session)
        session.run_id = admission.run_id
        self._take_will(session.client_id)
        for topic_filter in list(session.subscriptions):
            if not admission.may_subscribe(topic_filter):
                self._subscriptions.remove(session, topic_filter)
                what = f'the subscription of "{session.client_id}" to "{topic_filter}" was ended'
                why = "its job does not allow it any more"
                session.note("dropped", what, why, denied=True, topic=topic_filter)

    def leave(self, session: Session, will: Will | None) -> None:
        """Let the client of *session* go; the session ends now or after its expiry.

        *will* is published after its delay, or at the end of the session when that comes first.
        """
        session.detach()
        if self._sessions.get(session.client_id) is session:
            if session.expiry_seconds <= 0:
                self.end(session)
            else:
                self._keep(session)
        delay = min(will.delay_seconds, session.expiry_seconds) if will else 0
        if will and delay <= 0:
            self._publish_will(will)
        elif will:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(delay, self._execute_will, session.client_id)
            self._wills[session.client_id] = (will, timer)

    def _keep(self, session: Session) -> None:
        # The last to leave comes last, so that the longest absent is the first one found.
        self._sessions[session.client_id] = self._sessions.pop(session.client_id)
        if session.expiry_seconds < NEVER_SECONDS:
            loop = asyncio.get_running_loop()
            session.expiry_timer = loop.call_later(session.expiry_seconds, self.end, session)
        absent = [session for session in self._sessions.values() if session.connection is None]
        for longest in absent[: max(0, len(absent) - self._limits.absent_sessions)]:
            what = f'the session of "{longest.client_id}" was ended'
            why = f"more than {self._limits.absent_sessions} clients are away"
            longest.note("dropped", what, why)
            self.end(longest)

    def end(self, session: Session) -> None:
        """Forget *session*; a will that waited for its end is published."""
        _stop_timer(session)
        self._subscriptions.remove_all(session)
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]
        self._execute_will(session.client_id)

    def clear(self) -> None:
        """Forget all sessions, and the wills whose delay runs."""
        for client_id in list(self._wills):
            self._take_will(client_id)
        for session in list(self._sessions.values()):
            self.end(session)

    def _execute_will(self, client_id: str) -> None:
        if will := self._take_will(client_id):
            self._publish_will(will)

    def _take_will(self, client_id: str) -> Will | None:
        if client_id not in self._wills:
            return None
        will, timer = self._wills.pop(client_id)
        timer.cancel()
        return will

    def _publish_will(self, will: Will) -> None:
        if will.expiry_seconds is not None:
            will.message.expires_at = monotonic() + will.expiry_seconds
        self._publish(will.message)


def _stop_timer(session: Session) -> None:
    if session.expiry_timer is not None:
        session.expiry_timer.cancel()
        session.expiry_timer = None
