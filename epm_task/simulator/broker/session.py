"""A session is what the broker remembers of one client id: subscriptions, messages under way."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from paho.mqtt.matcher import MQTTMatcher
from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker.packet import encode_reply

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from epm_task.simulator.broker.admission import Admission
    from epm_task.simulator.broker.limits import Limits
    from epm_task.simulator.broker.message import Message
    from epm_task.simulator.broker.subscribe import Subscription
    from epm_task.simulator.trace import Trace


_MAX_PACKET_ID: Final = 0xFFFF


class Link(Protocol):
    """The connection of a session's client."""

    version: int
    #: Whether the client reads too slowly for more to be written.
    blocked: bool
    #: Longest packet that the client takes; None for any.
    packet_bytes: int | None

    def send(self, frame: bytes) -> None:
        """Send one packet with the next flush."""

    def end(self, reason: int, why: str) -> None:
        """Close the connection, with a DISCONNECT where the version has one."""


class Delivery(NamedTuple):
    """A message on its way to one session."""

    message: Message
    qos: int
    retain: bool
    identifiers: tuple[int, ...]


class Session:
    """One client id's memory; it outlives its connection as long as its expiry says.

    Args:
        client_id: The key under which the broker keeps it.
        admission: Whose it is; nobody else ever gets it.
        limits: Bounds of what may wait here.
        traces: Where drops are counted.
    """

    def __init__(self, client_id: str, admission: Admission, limits: Limits, traces: Trace) -> None:
        """Start empty and without a connection."""
        self.client_id: Final = client_id
        self.job_id: Final = admission.job_id
        self._of_run: Final = admission.run_id is not None
        self.subscriptions: dict[str, Subscription] = {}
        #: Packet ids of QoS 2 publications whose PUBREL is still to come.
        self.incoming: set[bytes] = set()
        self.link: Link | None = None
        self.expiry_seconds = 0
        self.expiry_timer: asyncio.TimerHandle | None = None
        #: Messages that were thrown away because the client did not keep up.
        self.dropped = 0
        self._told_dropped = 0
        self._limits: Final = limits
        self._traces: Final = traces
        self._window = limits.window
        self._packet_id = 0
        self._queue: deque[Delivery] = deque()
        self._queued_bytes = 0
        # A delivery whose PUBREC has come is None: only its PUBCOMP is awaited.
        self._unacknowledged: dict[int, Delivery | None] = {}

    def belongs_to(self, admission: Admission) -> bool:
        """Return whether it is handed over: to any run of the same job, or from admin to admin."""
        return (self.job_id, self._of_run) == (admission.job_id, admission.run_id is not None)

    def attach(self, link: Link, receive_maximum: int) -> None:
        """Continue on a new connection: first what was under way, then what waited."""
        self.link = link
        self._window = min(receive_maximum, self._limits.window)
        for packet_id, delivery in list(self._unacknowledged.items()):
            if delivery is None:
                link.send(encode_reply(PacketTypes.PUBREL, link.version, _two_bytes(packet_id)))
            else:
                self._write(link, packet_id, delivery, again=True)
        self.drain()

    def detach(self) -> None:
        """Let the connection go; what waits with QoS 0 goes with it."""
        self.link = None
        self._tell_dropped()
        self._queue = deque(delivery for delivery in self._queue if delivery.qos)
        self._queued_bytes = sum(len(delivery.message.payload) for delivery in self._queue)

    def deliver(self, message: Message, terms: Terms, *, retain: bool) -> None:
        """Send *message* now if the client keeps up, else let it wait; never blocks."""
        qos = min(message.qos, terms.qos)
        link = self.link
        if link is None:
            if qos:
                self._enqueue(Delivery(message, qos, retain, terms.identifiers))
        elif self._queue or link.blocked or (qos and len(self._unacknowledged) >= self._window):
            self._enqueue(Delivery(message, qos, retain, terms.identifiers))
        else:
            self._send(link, Delivery(message, qos, retain, terms.identifiers))

    def drain(self) -> None:
        """Send what waits, as far as the client allows."""
        link = self.link
        while self._queue and link is not None and not link.blocked:
            if self._queue[0].qos and len(self._unacknowledged) >= self._window:
                return
            delivery = self._queue.popleft()
            self._queued_bytes -= len(delivery.message.payload)
            if not delivery.message.expired(monotonic()):
                self._send(link, delivery)
        if not self._queue:
            self._tell_dropped()

    def acknowledged(self, packet_id: int) -> None:
        """Forget a delivery: PUBACK, PUBCOMP or a PUBREC that refuses it has come."""
        self._unacknowledged.pop(packet_id, None)
        if self._queue:
            self.drain()

    def received(self, packet_id: int) -> bool:
        """Note a PUBREC; return whether its delivery is known."""
        known = packet_id in self._unacknowledged
        if known:
            self._unacknowledged[packet_id] = None
        return known

    def _send(self, link: Link, delivery: Delivery) -> None:
        packet_id = 0
        if delivery.qos:
            packet_id = self._next_packet_id()
            self._unacknowledged[packet_id] = delivery
        self._write(link, packet_id, delivery, again=False)

    def _write(self, link: Link, packet_id: int, delivery: Delivery, *, again: bool) -> None:
        message, qos, retain, identifiers = delivery
        if again or retain or identifiers or message.expires_at is not None:
            frame = message.encode_specially(
                link.version,
                qos,
                packet_id,
                retain=retain,
                again=again,
                subscription_ids=identifiers,
                now=monotonic(),
            )
        else:
            frame = message.encode(link.version, qos, packet_id)
        if link.packet_bytes is not None and len(frame) > link.packet_bytes:
            # Section 3.1.2.11.4 of MQTT 5: behave as if it had been delivered.
            self._unacknowledged.pop(packet_id, None)
            self._drop(f"{len(frame)} bytes are more than the client takes ({link.packet_bytes})")
        else:
            link.send(frame)

    def _next_packet_id(self) -> int:
        # The window is far smaller than the number of ids, so a free one is near.
        while True:
            self._packet_id = self._packet_id % _MAX_PACKET_ID + 1
            if self._packet_id not in self._unacknowledged:
                return self._packet_id

    def _enqueue(self, delivery: Delivery) -> None:
        self._queue.append(delivery)
        self._queued_bytes += len(delivery.message.payload)
        while (
            len(self._queue) > self._limits.queue_messages
            or self._queued_bytes > self._limits.queue_bytes
        ):
            oldest = self._queue.popleft()
            self._queued_bytes -= len(oldest.message.payload)
            self._drop("the client does not keep up; its oldest messages go first")

    def _drop(self, why: str) -> None:
        self.dropped += 1
        if self.dropped == self._told_dropped + 1:
            self._tell(f'a message to "{self.client_id}" was dropped', why, 1)

    def _tell_dropped(self) -> None:
        count = self.dropped - self._told_dropped
        if count:
            self._tell(f'{count} messages to "{self.client_id}" were dropped', "summed up", count)
            self._told_dropped = self.dropped

    def _tell(self, what: str, why: str, count: int) -> None:
        self._traces.add(
            "mqtt",
            "dropped",
            what,
            reason=why,
            client_id=self.client_id,
            job_id=self.job_id,
            dropped=count,
        )


def _two_bytes(packet_id: int) -> bytes:
    return packet_id.to_bytes(2, "big")


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
