"""A session: what waits, what is under way, what is dropped."""

from __future__ import annotations

from time import monotonic

from simulator.broker.broker_box import Events, Rule

from epm_task.simulator.broker import Limits, Message
from epm_task.simulator.broker.session import Session, SubscriptionTable, Target, Terms
from epm_task.simulator.broker.subscribe import Subscription


class _Wire:
    """A connection that keeps what is sent."""

    def __init__(self, *, version: int = 5, blocked: bool = False) -> None:
        self.version = version
        self.blocked = blocked
        self.packet_bytes: int | None = None
        self.sent: list[bytes] = []

    def send(self, frame: bytes) -> None:
        """Keep it."""
        self.sent.append(frame)

    def end(self, reason: int, why: str) -> None:
        """Nothing ends here."""


def _session(limits: Limits | None = None) -> tuple[Session, Events]:
    events = Events()
    return Session("s", Rule(), limits or Limits(), events), events


def _deliver(session: Session, payload: bytes, qos: int = 1) -> None:
    session.deliver(Message("t", payload, qos), Terms(2), retain=False)


def test_no_more_is_under_way_than_the_client_allows() -> None:
    """The receive maximum counts QoS 1 and 2; each acknowledgement lets one more go."""
    session, _ = _session()
    wire = _Wire()
    session.attach(wire, 2)
    for number in range(5):
        _deliver(session, b"%d" % number, 1 + number % 2)
    assert len(wire.sent) == 2
    session.acknowledged(1)
    assert len(wire.sent) == 3
    assert session.received(2)
    assert len(wire.sent) == 3
    session.acknowledged(2)
    assert len(wire.sent) == 4


def test_an_unacknowledged_message_comes_again_on_the_next_connection() -> None:
    """With DUP and its old id; a released one as a PUBREL."""
    session, _ = _session()
    session.attach(_Wire(), 10)
    _deliver(session, b"one")
    _deliver(session, b"two", 2)
    session.received(2)
    session.detach()
    wire = _Wire()
    session.attach(wire, 10)
    assert wire.sent == [b"\x3a\x09\0\1t\0\1\0one", b"\x62\2\0\2"]


def test_a_client_that_is_away_gets_qos_1_and_2_later() -> None:
    """QoS 0 is not kept for it."""
    session, _ = _session()
    for qos in (0, 1, 2):
        _deliver(session, b"x", qos)
    wire = _Wire()
    session.attach(wire, 10)
    assert [frame[0] for frame in wire.sent] == [0x32, 0x34]


def test_what_waits_is_bounded_and_the_oldest_go_first() -> None:
    """The first drop is told at once, the sum when the queue is empty again."""
    session, events = _session(Limits(queue_messages=3))
    wire = _Wire(blocked=True)
    session.attach(wire, 10)
    for number in range(10):
        _deliver(session, b"%d" % number, 0)
    wire.blocked = False
    session.drain()
    assert [frame[-1:] for frame in wire.sent] == [b"7", b"8", b"9"]
    assert session.dropped == 7
    assert [event.facts["dropped"] for event in events] == [1, 7]


def test_what_waits_is_bounded_in_bytes() -> None:
    """Large messages count for more."""
    session, _ = _session(Limits(queue_bytes=100))
    session.attach(_Wire(blocked=True), 10)
    for _ in range(5):
        _deliver(session, b"x" * 40)
    assert session.dropped == 3


def test_a_message_expires_while_it_waits() -> None:
    """It is never sent."""
    session, _ = _session()
    message = Message("t", b"x", 1, expires_at=monotonic() - 1)
    session.deliver(message, Terms(1), retain=False)
    wire = _Wire()
    session.attach(wire, 10)
    assert not wire.sent


def test_a_packet_that_the_client_does_not_take_is_dropped() -> None:
    """It does not stay under way for ever."""
    session, events = _session()
    wire = _Wire()
    wire.packet_bytes = 50
    session.attach(wire, 1)
    _deliver(session, b"x" * 100)
    _deliver(session, b"y")
    assert len(wire.sent) == 1
    assert events.having("more than the client takes")


def test_packet_ids_go_round() -> None:
    """They are never 0 and never in use."""
    session, _ = _session()
    wire = _Wire()
    session.attach(wire, 10)
    _deliver(session, b"stays")
    for packet_id in [*range(2, 65_536), 2, 3]:
        _deliver(session, b"")
        assert wire.sent[-1][5:7] == packet_id.to_bytes(2, "big")
        session.acknowledged(packet_id)


def test_a_session_belongs_to_its_job_or_to_the_admin() -> None:
    """Any run of the job, never another."""
    session, _ = _session()
    assert session.belongs_to(Rule(run_id="another run"))
    assert not session.belongs_to(Rule(job_id="another"))
    assert not session.belongs_to(Rule(run_id=None))


def _session_of_subscriptions(name: str = "s") -> Session:
    return Session(name, Rule(), Limits(), Events())


def test_wildcards_match_as_the_standard_says() -> None:
    """`#` includes its parent; no wildcard at the front matches `$`."""
    table, session = SubscriptionTable(), _session_of_subscriptions()
    table.add(session, Subscription("a/#", 0))
    table.add(session, Subscription("+/b", 0))
    assert table.route("a")
    assert table.route("a/x/y")
    assert table.route("x/b")
    assert not table.route("x/c")
    assert not table.route("$SYS/b")


def test_overlapping_subscriptions_give_one_message_with_the_best_terms() -> None:
    """The greatest QoS and all identifiers (section 3.3.4 of MQTT 5)."""
    table, session = SubscriptionTable(), _session_of_subscriptions()
    table.add(session, Subscription("a/+", 0, identifier=1))
    table.add(session, Subscription("a/#", 2, identifier=2))
    (target,) = table.route("a/b")
    assert target.terms.qos == 2
    assert sorted(target.terms.identifiers) == [1, 2]


def test_no_local_leaves_out_what_the_client_published_itself() -> None:
    """Another subscription of the same client still counts."""
    table, session = SubscriptionTable(), _session_of_subscriptions()
    table.add(session, Subscription("a", 1, no_local=True))
    assert table.route("a") == [Target(session, Terms(1), None)]
    table.add(session, Subscription("+", 0))
    assert table.route("a") == [Target(session, Terms(1), Terms(0))]


def test_a_removed_subscription_is_gone() -> None:
    """Routes are not remembered longer than their subscriptions."""
    table, one, two = (
        SubscriptionTable(),
        _session_of_subscriptions("1"),
        _session_of_subscriptions("2"),
    )
    assert table.add(one, Subscription("a", 0))
    assert not table.add(one, Subscription("a", 1))
    table.add(two, Subscription("a", 0))
    assert len(table.route("a")) == 2
    assert table.remove(one, "a")
    assert not table.remove(one, "a")
    assert [target.session for target in table.route("a")] == [two]
    table.remove_all(two)
    assert not table.route("a")


def test_remembered_routes_are_bounded() -> None:
    """A publisher of ever new topics does not fill the memory."""
    table = SubscriptionTable()
    for number in range(2_500):
        table.route(f"t/{number}")
    assert len(table._routes) <= 1_000
