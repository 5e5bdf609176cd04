"""Find who gets a message: all subscriptions by filter, and the messages that are retained."""

from __future__ import annotations

from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from paho.mqtt.matcher import MQTTMatcher

from epm_task.simulator.broker.session import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from epm_task.simulator.broker.message import Message
    from epm_task.simulator.broker.parse import Subscription
    from epm_task.simulator.broker.session import Session


class Target(NamedTuple):
    """A session that gets messages of a topic; `own` are the terms for what it published itself."""

    session: Session
    terms: Terms
    own: Terms | None


class SubscriptionTable:
    """All subscriptions of one broker."""

    def __init__(self) -> None:
        self._filters: dict[str, dict[Session, Subscription]] = {}
        self._matcher = MQTTMatcher()  # type: ignore[no-untyped-call]
        #: Returns who gets messages of a topic, each session once.
        self.route: Final = lru_cache(maxsize=1_000)(self._find)

    def add(self, session: Session, subscription: Subscription) -> bool:
        """Add or replace a subscription; return whether it is new."""
        self.route.cache_clear()
        topic_filter = subscription.topic_filter
        holders = self._filters.get(topic_filter)
        if holders is None:
            holders = self._filters[topic_filter] = {}
            self._matcher[topic_filter] = holders
        new = session not in holders
        holders[session] = subscription
        session.subscriptions[topic_filter] = subscription
        return new

    def remove(self, session: Session, topic_filter: str) -> bool:
        """Remove a subscription; return whether it was there."""
        if session.subscriptions.pop(topic_filter, None) is None:
            return False
        self.route.cache_clear()
        holders = self._filters[topic_filter]
        del holders[session]
        if not holders:
            del self._filters[topic_filter]
            del self._matcher[topic_filter]  # type: ignore[no-untyped-call]
        return True

    def remove_all(self, session: Session) -> None:
        """Remove all subscriptions of a session."""
        for topic_filter in list(session.subscriptions):
            self.remove(session, topic_filter)

    def _find(self, topic: str) -> list[Target]:
        matches: dict[Session, list[Subscription]] = {}
        for holders in self._matcher.iter_match(topic):  # type: ignore[no-untyped-call]
            for session, subscription in holders.items():
                matches.setdefault(session, []).append(subscription)
        targets = []
        for session, subscriptions in matches.items():
            own = [subscription for subscription in subscriptions if not subscription.no_local]
            targets.append(Target(session, terms_of(subscriptions), terms_of(own) if own else None))
        return targets


def terms_of(subscriptions: Sequence[Subscription]) -> Terms:
    """Return the best terms of at least one subscription."""
    return Terms(
        qos=max(subscription.qos for subscription in subscriptions),
        retain_as_published=any(s.retain_as_published for s in subscriptions),
        identifiers=tuple(s.identifier for s in subscriptions if s.identifier is not None),
    )


class RetainedMessages:
    """The last retained message of each topic, in memory."""

    def __init__(self) -> None:
        self._messages: dict[str, Message] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def keep(self, message: Message) -> None:
        """Keep *message* in place of an older one; an empty one only ends its topic."""
        self._messages.pop(message.topic, None)
        if message.payload:
            self._messages[message.topic] = message

    def matching(self, topic_filter: str) -> Iterator[Message]:
        """Yield the messages whose topic matches *topic_filter*; expired ones are forgotten."""
        matcher = MQTTMatcher()  # type: ignore[no-untyped-call]
        matcher[topic_filter] = True
        now = monotonic()
        for topic, message in list(self._messages.items()):
            if message.expired(now):
                del self._messages[topic]
            elif any(matcher.iter_match(topic)):  # type: ignore[no-untyped-call]
                yield message
