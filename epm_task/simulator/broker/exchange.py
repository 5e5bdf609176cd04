"""The exchange carries an accepted message to everyone who should have it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Protocol

from paho.mqtt.matcher import MQTTMatcher

from epm_task.simulator.broker.reason import QUOTA_EXCEEDED, SUCCESS
from epm_task.simulator.broker.session import SubscriptionTable, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from epm_task.simulator.broker.limits import Limits
    from epm_task.simulator.broker.message import Message
    from epm_task.simulator.broker.session import Session
    from epm_task.simulator.broker.subscribe import Subscription
    from epm_task.simulator.trace import Action, Trace


#: Retain handling (section 3.8.3.1 of MQTT 5): 1 sends to new subscriptions only, 2 never.
_NEW_ONLY = 1
_NEVER = 2


class Flushes(Protocol):
    """A connection with packets that are not written yet."""

    def flush(self) -> None:
        """Write them at once."""


class Exchange:
    """Subscriptions, retained messages and the agent's own listener.

    Args:
        limits: Bounds of what is retained.
        traces: Where refusals go.
        on_message: The agent's own listener; called with every accepted message.
    """

    def __init__(
        self, limits: Limits, traces: Trace, on_message: Callable[[Message], None] | None
    ) -> None:
        """Start without subscriptions."""
        self.subscriptions = SubscriptionTable()
        self.retained = RetainedMessages(limits)
        #: Connections to which something was sent since the last flush.
        self.unflushed: list[Flushes] = []
        self._traces = traces
        self._on_message = on_message

    def publish(self, message: Message) -> int:
        """Carry *message*; return the reason code for its publisher."""
        reason = SUCCESS
        if message.retain and not self.retained.keep(message):
            reason = QUOTA_EXCEEDED
            why = "there is no room for more retained messages"
            self._tell("dropped", message, "was not retained", why)
        if self._on_message is not None:
            self._inform(self._on_message, message)
        for target in self.subscriptions.route(message.topic):
            terms: Terms | None = target.terms
            if target.session.client_id == message.client_id:
                terms = target.own
            if terms is not None:
                retain = message.retain and terms.retain_as_published
                target.session.deliver(message, terms, retain=retain)
        return reason

    def publish_apart(self, message: Message) -> None:
        """Carry a message that no packet has brought, such as a will."""
        self.publish(message)
        self.flush()

    def subscribe(self, session: Session, subscription: Subscription) -> None:
        """Add a subscription, then send what is retained for it."""
        new = self.subscriptions.add(session, subscription)
        handling = subscription.retain_handling
        if handling == _NEVER or (handling == _NEW_ONLY and not new):
            return
        identifier = subscription.identifier
        identifiers = () if identifier is None else (identifier,)
        terms = Terms(subscription.qos, subscription.retain_as_published, identifiers)
        for message in self.retained.matching(subscription.topic_filter):
            own = message.client_id == session.client_id
            if not (own and subscription.no_local) and not message.expired(monotonic()):
                session.deliver(message, terms, retain=True)

    def flush(self) -> None:
        """Write what was sent to all connections."""
        while self.unflushed:
            unflushed, self.unflushed = self.unflushed, []
            for connection in unflushed:
                connection.flush()

    def _inform(self, listener: Callable[[Message], None], message: Message) -> None:
        try:
            listener(message)
        except Exception as error:  # noqa: BLE001 - a broken listener must not stop the broker
            why = f"{type(error).__name__}: {error}"
            self._tell("failed", message, "broke the agent's listener", why)

    def _tell(self, action: Action, message: Message, what: str, reason: str) -> None:
        self._traces.add(
            "mqtt",
            action,
            f'a message on "{message.topic}" {what}',
            reason=reason,
            topic=message.topic,
            client_id=message.client_id,
            job_id=message.job_id,
        )


class RetainedMessages:
    """The retained messages of one broker, in memory."""

    def __init__(self, limits: Limits) -> None:
        """Start empty."""
        self._limits = limits
        self._messages: dict[str, Message] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._messages)

    def keep(self, message: Message) -> bool:
        """Keep *message*; an empty one ends its topic. Return False when there is no room."""
        old = self._messages.pop(message.topic, None)
        self._bytes -= len(old.payload) if old else 0
        if not message.payload:
            return True
        full = (
            len(self._messages) >= self._limits.retained_messages
            or self._bytes + len(message.payload) > self._limits.retained_bytes
        )
        if not full:
            self._messages[message.topic] = message
            self._bytes += len(message.payload)
        return not full

    def matching(self, topic_filter: str) -> Iterator[Message]:
        """Yield the messages whose topic matches *topic_filter*; expired ones are forgotten."""
        matcher = MQTTMatcher()  # type: ignore[no-untyped-call]
        matcher[topic_filter] = True
        now = monotonic()
        for topic, message in list(self._messages.items()):
            if message.expired(now):
                del self._messages[topic]
                self._bytes -= len(message.payload)
            elif any(matcher.iter_match(topic)):  # type: ignore[no-untyped-call]
                yield message

    def clear(self) -> None:
        """Forget all."""
        self._messages.clear()
        self._bytes = 0
