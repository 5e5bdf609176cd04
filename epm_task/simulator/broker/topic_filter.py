"""A topic filter is a subscription's pattern; a topic name is what a publication carries."""

from __future__ import annotations

from typing import Final

#: The matcher recurses once for each level; mosquitto has the same bound.
_LEVELS: Final = 200
_SHARED: Final = "$share/"


def is_topic_name(name: str) -> bool:
    """Return whether *name* can be published on (section 4.7 of both standards)."""
    return bool(name) and "+" not in name and "#" not in name


def is_topic_filter(topic_filter: str) -> bool:
    """Return whether one can subscribe to *topic_filter*: wildcards fill levels, `#` the last."""
    if not topic_filter or topic_filter.count("/") >= _LEVELS:
        return False
    levels = topic_filter.split("/")
    if any(len(level) > 1 and ("+" in level or "#" in level) for level in levels):
        return False
    return "#" not in levels[:-1]


def is_shared(topic_filter: str) -> bool:
    """Return whether it is a shared subscription, which this broker does not offer."""
    return topic_filter.startswith(_SHARED)
