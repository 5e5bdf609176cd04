"""A retained message is the last one of its topic, kept for those who subscribe later."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from paho.mqtt.matcher import MQTTMatcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.simulator.broker.limits import Limits
    from epm_task.simulator.broker.message import Message


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
