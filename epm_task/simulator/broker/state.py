"""What all connections of one broker share, and the way of a message from one to the others."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from epm_task.simulator.broker.sessions import SessionTable
from epm_task.simulator.broker.subscriptions import RetainedMessages, SubscriptionTable, terms_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.broker.connection import Connection, Limits
    from epm_task.simulator.broker.message import Message
    from epm_task.simulator.broker.parse import Subscription
    from epm_task.simulator.broker.session import Session, Terms
    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.processes.registry import Access
    from epm_task.simulator.trace import Trace

#: Retain handling (section 3.8.3.1 of MQTT 5): 1 sends to new subscriptions only, 2 never.
_NEW_ONLY = 1
_NEVER = 2


@dataclass(kw_only=True, eq=False)
class BrokerState:
    """The memory of one broker; its arguments are those of `Broker`."""

    access: Access
    trace: Trace
    limits: Limits
    faults: Faults
    deny_visibly: bool
    on_message: Callable[[Message], None] | None

    def __post_init__(self) -> None:
        self.connections: set[Connection] = set()
        self.subscriptions: SubscriptionTable = SubscriptionTable()
        self.retained: RetainedMessages = RetainedMessages()
        self.sessions: SessionTable = SessionTable(
            self.limits, self.trace, self.subscriptions, self.publish
        )

    def publish(self, message: Message) -> None:
        """Carry *message* to the agent's own listener and to everyone who should have it."""
        if message.retain:
            self.retained.keep(message)
        if self.on_message is not None:
            try:
                self.on_message(message)
            except Exception as error:  # noqa: BLE001 - a broken listener must not stop the broker
                what = f'a message on "{message.topic}" broke the agent\'s listener'
                why = f"{type(error).__name__}: {error}"
                self.trace.add("mqtt", "failed", what, reason=why, topic=message.topic)
        for target in self.subscriptions.route(message.topic):
            terms: Terms | None = target.terms
            if target.session.client_id == message.client_id:
                terms = target.own
            if terms is not None:
                retain = message.retain and terms.retain_as_published
                target.session.deliver(message, terms, retain=retain)

    def subscribe(self, session: Session, subscription: Subscription) -> None:
        """Add a subscription, then send what is retained for it."""
        new = self.subscriptions.add(session, subscription)
        handling = subscription.retain_handling
        if handling == _NEVER or (handling == _NEW_ONLY and not new):
            return
        terms = terms_of([subscription])
        for message in self.retained.matching(subscription.topic_filter):
            own = message.client_id == session.client_id
            if not (own and subscription.no_local) and not message.expired(monotonic()):
                session.deliver(message, terms, retain=True)

    def clear(self) -> None:
        """Forget sessions and retained messages."""
        self.sessions.clear()
        self.retained = RetainedMessages()
