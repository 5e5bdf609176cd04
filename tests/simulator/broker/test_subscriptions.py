"""Subscriptions by filter, and retained messages."""

from __future__ import annotations

from time import monotonic

from simulator.broker.broker_box import Events, rule

from epm_task.simulator.broker import Limits, Message
from epm_task.simulator.broker.parse import Subscription
from epm_task.simulator.broker.session import Session, Terms
from epm_task.simulator.broker.subscriptions import RetainedMessages, SubscriptionTable, Target


def _session(name: str = "s") -> Session:
    return Session(name, rule(), Limits(), Events())


def test_wildcards_match_as_the_standard_says() -> None:
    """`#` includes its parent; no wildcard at the front matches `$`."""
    table, session = SubscriptionTable(), _session()
    table.add(session, Subscription("a/#", 0))
    table.add(session, Subscription("+/b", 0))
    assert table.route("a")
    assert table.route("a/x/y")
    assert table.route("x/b")
    assert not table.route("x/c")
    assert not table.route("$SYS/b")


def test_overlapping_subscriptions_give_one_message_with_the_best_terms() -> None:
    """The greatest QoS and all identifiers (section 3.3.4 of MQTT 5)."""
    table, session = SubscriptionTable(), _session()
    table.add(session, Subscription("a/+", 0, identifier=1))
    table.add(session, Subscription("a/#", 2, identifier=2))
    (target,) = table.route("a/b")
    assert target.terms.qos == 2
    assert sorted(target.terms.identifiers) == [1, 2]


def test_no_local_leaves_out_what_the_client_published_itself() -> None:
    """Another subscription of the same client still counts."""
    table, session = SubscriptionTable(), _session()
    table.add(session, Subscription("a", 1, no_local=True))
    assert table.route("a") == [Target(session, Terms(1), None)]
    table.add(session, Subscription("+", 0))
    assert table.route("a") == [Target(session, Terms(1), Terms(0))]


def test_a_removed_subscription_is_gone() -> None:
    """Routes are not remembered longer than their subscriptions."""
    table, one, two = SubscriptionTable(), _session("1"), _session("2")
    assert table.add(one, Subscription("a", 0))
    assert not table.add(one, Subscription("a", 1))
    table.add(two, Subscription("a", 0))
    assert len(table.route("a")) == 2
    assert table.remove(one, "a")
    assert not table.remove(one, "a")
    assert [target.session for target in table.route("a")] == [two]
    table.remove_all(two)
    assert not table.route("a")


def test_the_last_retained_message_of_a_topic_is_kept() -> None:
    """An empty one forgets the topic."""
    retained = RetainedMessages()
    retained.keep(Message("a/b", b"1"))
    retained.keep(Message("a/b", b"2"))
    assert [message.payload for message in retained.matching("a/+")] == [b"2"]
    retained.keep(Message("a/b", b""))
    assert not len(retained)


def test_an_expired_message_is_forgotten() -> None:
    """It is not sent, and takes no room any more."""
    retained = RetainedMessages()
    retained.keep(Message("a", b"1", expires_at=monotonic() - 1))
    assert not list(retained.matching("a"))
    assert not len(retained)
