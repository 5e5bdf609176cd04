"""A session: what waits, what is under way, what is dropped."""

from __future__ import annotations

from time import monotonic

from simulator.broker.broker_box import Events, rule

from epm_task.simulator.broker import Limits, Message
from epm_task.simulator.broker.connection import Connection
from epm_task.simulator.broker.session import Session, Terms


class _Kept(Connection):
    """A connection that keeps what is sent."""

    def __init__(self, *, blocked: bool = False) -> None:
        super().__init__(Limits(), set())
        self.version = 5
        self.blocked = blocked
        self.sent: list[bytes] = []

    def send(self, frame: bytes) -> None:
        """Keep it."""
        self.sent.append(frame)


def _kept(*, blocked: bool = False) -> _Kept:
    return _Kept(blocked=blocked)  # type: ignore[abstract]  # nothing is received


def _session(limits: Limits | None = None) -> tuple[Session, Events]:
    events = Events()
    return Session("s", rule(), limits or Limits(), events), events


def _deliver(session: Session, payload: bytes, qos: int = 1) -> None:
    session.deliver(Message("t", payload, qos), Terms(2), retain=False)


def test_no_more_is_under_way_than_the_client_allows() -> None:
    """The receive maximum counts QoS 1 and 2; each acknowledgement lets one more go."""
    session, _ = _session()
    connection = _kept()
    session.attach(connection, 2)
    for number in range(5):
        _deliver(session, b"%d" % number, 1 + number % 2)
    assert len(connection.sent) == 2
    session.acknowledged(1)
    assert len(connection.sent) == 3
    assert session.received(2)
    assert len(connection.sent) == 3
    session.acknowledged(2)
    assert len(connection.sent) == 4


def test_an_unacknowledged_message_comes_again_on_the_next_connection() -> None:
    """With DUP and its old id; a released one as a PUBREL."""
    session, _ = _session()
    session.attach(_kept(), 10)
    _deliver(session, b"one")
    _deliver(session, b"two", 2)
    session.received(2)
    session.detach()
    connection = _kept()
    session.attach(connection, 10)
    assert connection.sent == [b"\x3a\x09\0\1t\0\1\0one", b"\x62\2\0\2"]


def test_a_client_that_is_away_gets_qos_1_and_2_later() -> None:
    """QoS 0 is not kept for it."""
    session, _ = _session()
    for qos in (0, 1, 2):
        _deliver(session, b"x", qos)
    connection = _kept()
    session.attach(connection, 10)
    assert [frame[0] for frame in connection.sent] == [0x32, 0x34]


def test_what_waits_is_bounded_and_the_oldest_go_first() -> None:
    """The first drop is told at once, the sum when the queue is empty again."""
    session, events = _session(Limits(queue_messages=3))
    connection = _kept(blocked=True)
    session.attach(connection, 10)
    for number in range(10):
        _deliver(session, b"%d" % number, 0)
    connection.blocked = False
    session.drain()
    assert [frame[-1:] for frame in connection.sent] == [b"7", b"8", b"9"]
    assert session.dropped == 7
    assert [event.facts["dropped"] for event in events] == [1, 7]


def test_what_waits_is_bounded_in_bytes() -> None:
    """Large messages count for more."""
    session, _ = _session(Limits(queue_bytes=100))
    session.attach(_kept(blocked=True), 10)
    for _ in range(5):
        _deliver(session, b"x" * 40)
    assert session.dropped == 3


def test_a_message_expires_while_it_waits() -> None:
    """It is never sent."""
    session, _ = _session()
    message = Message("t", b"x", 1, expires_at=monotonic() - 1)
    session.deliver(message, Terms(1), retain=False)
    connection = _kept()
    session.attach(connection, 10)
    assert not connection.sent


def test_a_packet_that_the_client_does_not_take_is_dropped() -> None:
    """It does not stay under way for ever."""
    session, events = _session()
    connection = _kept()
    connection.packet_bytes = 50
    session.attach(connection, 1)
    _deliver(session, b"x" * 100)
    _deliver(session, b"y")
    assert len(connection.sent) == 1
    assert events.having("more than the client takes")


def test_packet_ids_go_round() -> None:
    """They are never 0 and never in use."""
    session, _ = _session()
    connection = _kept()
    session.attach(connection, 10)
    _deliver(session, b"stays")
    for packet_id in [*range(2, 65_536), 2, 3]:
        _deliver(session, b"")
        assert connection.sent[-1][5:7] == packet_id.to_bytes(2, "big")
        session.acknowledged(packet_id)


def test_a_session_belongs_to_its_job_or_to_the_admin() -> None:
    """Any run of the job, never another."""
    session, _ = _session()
    assert session.belongs_to(rule(run_id="another run"))
    assert not session.belongs_to(rule(job_id="another"))
    assert not session.belongs_to(rule(run_id=None))
