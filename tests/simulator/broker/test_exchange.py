"""Retained messages."""

from __future__ import annotations

from time import monotonic

from epm_task.simulator.broker import Limits, Message
from epm_task.simulator.broker.exchange import RetainedMessages


def test_the_last_message_of_a_topic_is_kept() -> None:
    """An empty one forgets the topic."""
    retained = RetainedMessages(Limits())
    retained.keep(Message("a/b", b"1"))
    retained.keep(Message("a/b", b"2"))
    assert [message.payload for message in retained.matching("a/+")] == [b"2"]
    retained.keep(Message("a/b", b""))
    assert not len(retained)


def test_what_is_retained_is_bounded() -> None:
    """By number, and by bytes; a replaced message makes room first."""
    retained = RetainedMessages(Limits(retained_messages=2, retained_bytes=10))
    assert retained.keep(Message("a", b"12345"))
    assert not retained.keep(Message("b", b"123456"))
    assert retained.keep(Message("b", b"12345"))
    assert retained.keep(Message("a", b"12"))
    assert not retained.keep(Message("c", b"1"))
    assert {message.topic for message in retained.matching("#")} == {"a", "b"}


def test_an_expired_message_is_forgotten() -> None:
    """It is not sent, and takes no room any more."""
    retained = RetainedMessages(Limits())
    retained.keep(Message("a", b"1", expires_at=monotonic() - 1))
    assert not list(retained.matching("a"))
    assert not len(retained)
