"""Topic filters and topic names."""

from __future__ import annotations

import pytest

from epm_task.simulator.broker.topic_filter import is_shared, is_topic_filter, is_topic_name


@pytest.mark.parametrize(
    "topic_filter", ["a", "/", "a/+/b", "+", "#", "a/#", "+/+/#", "$SYS/#", "a//b"]
)
def test_a_good_filter_is_taken(topic_filter: str) -> None:
    """Wildcards may fill whole levels."""
    assert is_topic_filter(topic_filter)


@pytest.mark.parametrize(
    "topic_filter", ["", "a+", "a/b#", "#/a", "a/#/b", "++", "a/+b/c", "+/" * 200]
)
def test_a_bad_filter_is_refused(topic_filter: str) -> None:
    """Wildcards inside a level, `#` before the end, too many levels."""
    assert not is_topic_filter(topic_filter)


def test_a_topic_name_has_no_wildcards() -> None:
    """One cannot publish on a pattern or on nothing."""
    assert is_topic_name("a/b")
    assert not any(map(is_topic_name, ["", "a/+", "#"]))


def test_a_shared_subscription_is_recognised() -> None:
    """By its prefix."""
    assert is_shared("$share/group/topic")
    assert not is_shared("share/group/topic")
