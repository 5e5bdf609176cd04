"""Hold messages from their acceptance to the broker's acknowledgement."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What 5 s of flushing can still send, with a margin of four.
LIMIT_BYTES: Final = 8 * 1024 * 1024
#: What Python keeps for a message beside its payload, so that the limit is one of real memory.
_OVERHEAD_BYTES: Final = 256
#: The others are for subscriptions: `broker/inbox.py`.
_MAX_PACKET_ID: Final = 65_000


class Message:  # noqa: PLW1641  # compared, no key; a NamedTuple costs a start 0.7 M instructions
    """One JSON object for the broker; `kept` when it is on stderr already."""

    __slots__ = ("kept", "payload", "topic")

    def __init__(self, topic: str, payload: bytes, kept: bool = False) -> None:  # noqa: FBT001, FBT002
        self.topic: str = topic
        self.payload: bytes = payload
        self.kept: bool = kept

    def __eq__(self, other: object) -> bool:
        facts = (self.topic, self.payload, self.kept)
        return isinstance(other, Message) and facts == (other.topic, other.payload, other.kept)

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""
        return len(self.payload) + _OVERHEAD_BYTES


class Outbox:
    """A bounded queue with a window of messages in flight; safe to use from any thread."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.changed: Final = threading.Condition()
        self.acknowledged: int = 0
        self._limit = limit_bytes
        self._closed = False
        self._bytes = 0
        self._waiting: deque[Message] = deque()
        self._in_flight: dict[int, Message] = {}
        self._last_packet_id = 0

    @property
    def waiting(self) -> int:
        """Number of messages that were not sent yet."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Number of messages that were sent and not acknowledged."""
        return len(self._in_flight)

    @property
    def empty(self) -> bool:
        """Whether everything was acknowledged or taken back."""
        return not self._waiting and not self._in_flight

    def offer(self, message: Message, patience_seconds: float) -> bool:
        """Accept *message*, waiting for room if need be; False when there is none in time.

        Also False once everything was taken: nobody would look at it again.
        """
        size = message.size
        with self.changed:
            fits = self.changed.wait_for(
                lambda: self._bytes + size <= self._limit, patience_seconds
            )
            if not fits or self._closed:
                return False
            self._bytes += size
            self._waiting.append(message)
            return True

    def take(self, window: int) -> list[tuple[int, Message]]:
        """Move messages into flight, up to *window* in all; return them with their packet ids."""
        with self.changed:
            count = min(window - len(self._in_flight), len(self._waiting))
            taken: list[tuple[int, Message]] = []
            for _ in range(count):
                packet_id = self._next_packet_id()
                message = self._in_flight[packet_id] = self._waiting.popleft()
                taken.append((packet_id, message))
            return taken

    def settle(self, packet_ids: Iterable[int]) -> int:
        """Forget messages that the broker acknowledged; return how many there were."""
        with self.changed:
            settled = [message for p in packet_ids if (message := self._in_flight.pop(p, None))]
            self._bytes -= sum(message.size for message in settled)
            self.acknowledged += len(settled)
            self.changed.notify_all()
            return len(settled)

    def find(self, packet_id: int) -> Message | None:
        """Return a message that is in flight; None for an unknown id."""
        return self._in_flight.get(packet_id)

    def withdraw(self, packet_id: int) -> Message | None:
        """Take one message out of flight that will not be acknowledged; None for an unknown id."""
        with self.changed:
            message = self._in_flight.pop(packet_id, None)
            if message is not None:
                self._bytes -= message.size
                self.changed.notify_all()
            return message

    def oldest(self) -> int | None:
        """Return the id of the oldest message in flight; None when none is."""
        with self.changed:
            return next(iter(self._in_flight), None)

    def put_back(self) -> int:
        """Let the messages in flight wait again, in their order; return how many there were."""
        with self.changed:
            count = len(self._in_flight)
            self._waiting.extendleft(reversed(self._in_flight.values()))
            self._in_flight.clear()
            return count

    def take_all(self) -> list[Message]:
        """Empty the outbox for good; return what was not acknowledged, in order."""
        with self.changed:
            self._closed = True
            left = [*self._in_flight.values(), *self._waiting]
            self._in_flight.clear()
            self._waiting.clear()
            self._bytes = 0
            self.changed.notify_all()
            return left

    def _next_packet_id(self) -> int:
        packet_id = self._last_packet_id
        while True:
            packet_id = packet_id % _MAX_PACKET_ID + 1
            if packet_id not in self._in_flight:
                self._last_packet_id = packet_id
                return packet_id
