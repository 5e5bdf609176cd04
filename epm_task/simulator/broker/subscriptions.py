"""The subscription table says which sessions get a message, and under which terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from paho.mqtt.matcher import MQTTMatcher

if TYPE_CHECKING:
    from collections.abc import Iterable

    from epm_task.simulator.broker.session import Session
    from epm_task.simulator.broker.subscribe import Subscription

#: Routes of so many topics are remembered between two changes of the table.
_REMEMBERED: Final = 1_000


class Terms(NamedTuple):
    """How one session gets a message: the best of all its subscriptions that match."""

    qos: int
    retain_as_published: bool = False
    identifiers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A session that gets messages of a topic; `own` are the terms for what it published itself."""

    session: Session
    terms: Terms
    own: Terms | None


class SubscriptionTable:
    """All subscriptions of one broker."""

    def __init__(self) -> None:
        """Start empty."""
        self._filters: dict[str, dict[Session, Subscription]] = {}
        self._matcher = MQTTMatcher()  # type: ignore[no-untyped-call]
        self._routes: dict[str, list[Target]] = {}

    def add(self, session: Session, subscription: Subscription) -> bool:
        """Add or replace a subscription; return whether it is new."""
        self._routes.clear()
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
        self._routes.clear()
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

    def route(self, topic: str) -> list[Target]:
        """Return who gets messages of *topic*, each session once."""
        route = self._routes.get(topic)
        if route is None:
            if len(self._routes) >= _REMEMBERED:
                self._routes.clear()
            route = self._routes[topic] = self._find(topic)
        return route

    def _find(self, topic: str) -> list[Target]:
        matches: dict[Session, list[Subscription]] = {}
        for holders in self._matcher.iter_match(topic):  # type: ignore[no-untyped-call]
            for session, subscription in holders.items():
                matches.setdefault(session, []).append(subscription)
        return [
            Target(
                session,
                _terms(subscriptions),
                _terms(own) if (own := [s for s in subscriptions if not s.no_local]) else None,
            )
            for session, subscriptions in matches.items()
        ]


def _terms(subscriptions: Iterable[Subscription]) -> Terms:
    subscriptions = list(subscriptions)
    return Terms(
        qos=max(subscription.qos for subscription in subscriptions),
        retain_as_published=any(s.retain_as_published for s in subscriptions),
        identifiers=tuple(s.identifier for s in subscriptions if s.identifier is not None),
    )
