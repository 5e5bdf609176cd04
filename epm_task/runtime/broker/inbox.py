"""Messages to a task: from the broker's packet to the handler's loop, and their acknowledgement.

A message is acknowledged when the handler asks for the next one, or has returned: one that a crash
has met is not.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar, cast

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.errors import BrokerError, BrokerUnreachable
from epm_task.runtime.broker.packet import FIRST_FAILURE, puback_packet, subscribe_packet
from epm_task.runtime.result import first_misfit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from epm_task.contract.topic import Topic
    from epm_task.runtime.broker.packet import Arrival
    from epm_task.runtime.log.log import Log

Payload = TypeVar("Payload")

#: A broker of MQTT 5 has no more under way; one of 3.1.1 does as it likes, and what does not fit is
#: left unacknowledged.
MOST_WAITING: Final = 100
#: Packet ids from here on are for subscriptions: the outbox takes those below.
FIRST_ID: Final = 65_001
#: As much as the API takes in one request.
_MOST_PAYLOAD: Final = 1024 * 1024
#: A wait in one piece could not be interrupted on Windows.
_SLICE_SECONDS: Final = 0.1


class Waiting(NamedTuple):
    """One message that the handler has not seen."""

    arrival: Arrival
    connection: int  #: Which of the connections brought it, counted from 1.


class Inbox:
    """The topics that the handler reads, and what has come on them; safe to use from any thread.

    Attributes:
        wake: Tells the thread of the connection that there is something to send.
        problem: Returns why nothing more will come; None while something may.
        over: Whether all has come that was given, in a test.
    """

    def __init__(self, log: Log) -> None:
        self.changed: Final = threading.Condition()
        self.wake: Callable[[], object] = lambda: None
        self.problem: Callable[[], BaseException | None] = lambda: None
        self.log: Final = log
        self.over: bool = False
        #: What the handler has seen, and has not yet dealt with.
        self._shown: list[Waiting] = []
        self._queues: dict[str, deque[Waiting]] = {}
        self._listeners: dict[str, Callable[[], object]] = {}
        self._refused: dict[str, int] = {}
        self._outgoing: list[bytes] = []
        self._connection = 0
        self._mqtt5 = True
        self._connected = False
        self._left_out = 0

    # The handler's side.

    def subscribe(self, topic: str) -> None:
        """Ask the broker for the messages of a topic, now and after each new connection."""
        with self.changed:
            if topic in self._queues:
                return
            self._queues[topic] = deque()
            if self._connected:
                self._outgoing.append(self._subscription(topic))
        self.wake()

    def take(self, topic: str) -> Waiting | None:
        """Return the next message, None when none has come; it counts as seen.

        Raises:
            SubscriptionRefused: The broker has refused the subscription.
        """
        with self.changed:
            if (code := self._refused.get(topic)) is not None:
                raise SubscriptionRefused(topic, code)
            if not (queue := self._queues[topic]):
                return None
            self._shown.append(queue[0])
            return queue.popleft()

    def listen(self, topic: str, call: Callable[[], object] | None) -> None:
        """Let *call* be called, in the thread of the connection, when something has come."""
        with self.changed:
            if call is None:
                self._listeners.pop(topic, None)
            else:
                self._listeners[topic] = call

    def acknowledge(self, topic: str | None = None) -> None:
        """Tell the broker that what was seen of a topic, or of all, was dealt with.

        It has forgotten what came on another connection: each begins anew.
        """
        with self.changed:
            done = [one for one in self._shown if topic in {None, one.arrival.topic}]
            self._shown = [one for one in self._shown if one not in done]
            for message in done:
                if message.connection == self._connection:
                    self._drop(message.arrival)
        if done:
            self.wake()

    # The side of the connection's thread.

    def begin(self, *, mqtt5: bool) -> None:
        """Subscribe on a new connection."""
        with self.changed:
            self._connection += 1
            self._mqtt5, self._connected = mqtt5, True
            self._outgoing = [self._subscription(topic) for topic in self._queues]

    def end(self) -> None:
        """Send nothing more on this connection."""
        with self.changed:
            self._connected = False
            self._outgoing.clear()

    def outgoing(self) -> bytes:
        """Return the packets that are to be sent, which are then gone from here."""
        if not self._outgoing:
            return b""
        with self.changed:
            found, self._outgoing = b"".join(self._outgoing), []
        return found

    @property
    def waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self._outgoing)

    def receive(self, arrivals: list[Arrival]) -> None:
        """Keep what has come; a retained message was meant for somebody else, some time ago."""
        kept = set()
        with self.changed:
            before = self._left_out
            for arrival in arrivals:
                queue = self._queues.get(arrival.topic)
                if queue is None or arrival.retained:
                    self._drop(arrival)
                elif sum(map(len, self._queues.values())) >= MOST_WAITING:
                    self._left_out += 1
                else:
                    queue.append(Waiting(arrival, self._connection))
                    kept.add(arrival.topic)
            first = not before and self._left_out
            self.changed.notify_all()
            listeners = [call for topic, call in self._listeners.items() if topic in kept]
        for call in listeners:
            call()
        if first:
            self.log.warning("messages_left_at_the_broker", waiting=MOST_WAITING)

    def granted(self, packet_id: int, codes: bytes) -> None:
        """Note the broker's answer to a subscription."""
        with self.changed:
            for number, topic in enumerate(self._queues, FIRST_ID):
                if number == packet_id and codes[0] >= FIRST_FAILURE:
                    self._refused[topic] = codes[0]
            self.changed.notify_all()
            listeners = list(self._listeners.values())
        for call in listeners:
            call()

    def _drop(self, arrival: Arrival) -> None:
        if arrival.packet_id is not None:
            self._outgoing.append(puback_packet(arrival.packet_id))

    def _subscription(self, topic: str) -> bytes:
        packet_id = FIRST_ID + list(self._queues).index(topic)
        return subscribe_packet(topic.encode("utf-8"), packet_id, mqtt5=self._mqtt5)


class SubscriptionRefused(BrokerError):
    """The broker lets the task not read a topic."""

    def __init__(self, topic: str, code: int) -> None:
        super().__init__(
            f"the broker refused the subscription to {topic!r}",
            f"reason 0x{code:02x}",
            f'add "{topic}" to mqttTopics.allowedSubscriptions of the job',
        )


class Messages(Generic[Payload]):
    """The messages of one topic, for `for` and `async for`; each is what the topic says."""

    def __init__(self, topic: Topic[Payload], inbox: Inbox, timeout_seconds: float | None) -> None:
        self._topic = topic
        self._inbox = inbox
        self._timeout = timeout_seconds
        inbox.subscribe(topic.name)

    def __iter__(self) -> Iterator[Payload]:
        """Iterate over what comes."""
        return self

    def __next__(self) -> Payload:
        """Return the next message; end when none has come for *timeout_seconds*.

        Raises:
            BrokerError: The broker has refused the subscription, or is gone for good.
        """
        self._inbox.acknowledge(self._topic.name)
        until = self._until()
        while True:
            for payload in self._next_usable():
                return payload
            left = until - time.monotonic()
            if left <= 0 or self._inbox.over:
                raise StopIteration
            with self._inbox.changed:
                self._inbox.changed.wait(min(left, _SLICE_SECONDS))

    def __aiter__(self) -> AsyncIterator[Payload]:
        """Iterate over what comes, while other coroutines go on."""
        return self

    async def __anext__(self) -> Payload:
        """Return the next message, as `__next__`."""
        import asyncio  # noqa: PLC0415  # whoever awaits this has loaded it

        self._inbox.acknowledge(self._topic.name)
        until = self._until()
        loop, came = asyncio.get_running_loop(), asyncio.Event()
        self._inbox.listen(self._topic.name, lambda: loop.call_soon_threadsafe(came.set))
        try:
            while True:
                came.clear()
                for payload in self._next_usable():
                    return payload
                left = until - time.monotonic()
                if left <= 0 or self._inbox.over:
                    raise StopAsyncIteration
                try:
                    async with asyncio.timeout(min(left, 1.0)):  # the broker may be gone for good
                        await came.wait()
                except TimeoutError:
                    continue
        finally:
            self._inbox.listen(self._topic.name, None)

    def _until(self) -> float:
        return float("inf") if self._timeout is None else time.monotonic() + self._timeout

    def _next_usable(self) -> Iterator[Payload]:
        """Yield the next payload, if there is one; tell and pass over what is wrong."""
        while (message := self._inbox.take(self._topic.name)) is not None:
            try:
                yield _payload(self._topic, message.arrival.payload)
            except ValueError as error:
                size = len(message.arrival.payload)
                facts = {"topic": self._topic.name, "bytes": size, "why": str(error)}
                self._inbox.log.warning("message_not_usable", **facts)
                self._inbox.acknowledge(self._topic.name)  # it would come again and again
                continue
            return
        if (problem := self._inbox.problem()) is not None:
            raise problem


def _payload(topic: Topic[Payload], data: bytes) -> Payload:
    """Return a message as the type of its topic.

    Raises:
        ValueError: It is not, and the text says why, without the values.
    """
    if len(data) > _MOST_PAYLOAD:
        raise ValueError("it is larger than 1 MiB")
    try:
        found = parse_object(data)
    except BadJson as error:
        raise ValueError(error.why) from None
    if topic.payload in {None, dict}:
        return cast("Payload", found)
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  # 60 ms that few need

    try:
        return TypeAdapter(topic.payload).validate_python(found)
    except ValidationError as error:
        raise ValueError(first_misfit(error)) from None


def no_broker() -> BrokerUnreachable:
    """Return why a run without a broker gets no messages."""
    return BrokerUnreachable(
        "(none)", 0.0, "KEEPER_JOB_ID is not set, and nobody knows as whom to connect"
    )
