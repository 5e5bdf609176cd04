"""An MQTT session carries an outbox over one connection until that connection ends."""

from __future__ import annotations

import selectors
import time
from typing import TYPE_CHECKING, Final, Protocol

from epm_task.runtime.broker import packet as mqtt_packet
from epm_task.runtime.broker.connection import ConnectionLost, reason_text

if TYPE_CHECKING:
    import socket

    from epm_task.runtime.broker.connection import MqttConnection
    from epm_task.runtime.log.outbox import Message, Outbox

#: On loopback an acknowledgement takes milliseconds.
STALL_SECONDS: Final = 2.0
#: MQTT lets a broker close after 1.5 keep-alives without a packet; half leaves room for a slow one.
_PING_SHARE: Final = 0.5
_DEAD_SHARE: Final = 1.5
#: MQTT 5 reason code "packet too large".
_TOO_LARGE: Final = 0x95
#: Fixed header, topic length, packet id and property length beside topic and payload.
_PUBLISH_OVERHEAD_BYTES: Final = 10


class Stalled(ConnectionLost):
    """The broker keeps the connection open and says nothing."""


class Owner(Protocol):
    """Who runs the session."""

    asleep: bool

    @property
    def closing(self) -> bool:
        """Whether the session shall end."""

    def refuse(self, message: Message, code: int, why: str) -> None:
        """Keep a message that will not be acknowledged."""


class MqttSession:
    """One connection at work.

    Args:
        connection: The connection, just made.
        outbox: What to send.
        owner: Told of refusals; its `asleep` says that new messages need a wake-up.
        wake: Becomes readable when the outbox holds something new.
        lone: Send one message at a time.
    """

    def __init__(
        self,
        connection: MqttConnection,
        outbox: Outbox,
        owner: Owner,
        wake: socket.socket,
        *,
        lone: bool,
    ) -> None:
        self.progress = False
        self._connection = connection
        self._outbox = outbox
        self._owner = owner
        self._wake = wake
        self._window = 1 if lone else connection.window
        self._last_received = self._last_sent = self._waiting_since = time.monotonic()

    def run(self) -> None:
        """Send and receive until the owner closes.

        Raises:
            ConnectionLost: The connection ended.
            Stalled: The broker went silent.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            selector.register(self._connection, selectors.EVENT_READ)
            while not self._owner.closing:
                self._send()
                self._check_time()
                self._wait(selector)
                self._receive()

    @property
    def _room(self) -> bool:
        return self._outbox.in_flight < self._window and not self._connection.wants_to_write

    def _send(self) -> None:
        if self._connection.wants_to_write:
            self._connection.write()
        if not (self._room and self._outbox.waiting):
            return
        if not self._outbox.in_flight:
            self._waiting_since = time.monotonic()
        taken = self._outbox.take(self._window)
        limit = self._connection.max_packet_bytes
        if limit is not None:
            taken = [item for item in taken if self._fits(item, limit)]
        self._connection.publish(taken)
        self._last_sent = time.monotonic()

    def _fits(self, item: tuple[int, Message], limit: int) -> bool:
        packet_id, message = item
        size = len(message.payload) + len(message.topic.encode()) + _PUBLISH_OVERHEAD_BYTES
        if size > limit and self._outbox.withdraw(packet_id):
            self._owner.refuse(message, _TOO_LARGE, f"it is larger than the broker's {limit} bytes")
            return False
        return True

    def _wait(self, selector: selectors.BaseSelector) -> None:
        events = selectors.EVENT_READ
        if self._connection.wants_to_write:
            events |= selectors.EVENT_WRITE
        selector.modify(self._connection, events)
        self._owner.asleep = self._room
        # A message may have come before anybody saw us asleep.
        ready = self._room and self._outbox.waiting
        seconds = 0.0 if ready else self._seconds_until_due()
        for key, _ in selector.select(seconds):
            if key.fileobj is self._wake:
                self._wake.recv(4096)
        self._owner.asleep = False

    def _receive(self) -> None:
        received = self._connection.read()
        if received is None:
            return
        self._last_received = self._waiting_since = time.monotonic()
        if received.settled:
            self.progress |= self._outbox.settle(received.settled) > 0
        for packet_id, code in received.refused:
            if message := self._outbox.withdraw(packet_id):
                self.progress = True
                self._owner.refuse(message, code, reason_text(code))
        if received.disconnect_reason is not None:
            why = reason_text(received.disconnect_reason, disconnect=True)
            raise ConnectionLost(f"the broker disconnected: {why}")

    def _seconds_until_due(self) -> float:
        due = [STALL_SECONDS + self._waiting_since] if self._outbox.in_flight else []
        keep_alive = self._connection.keep_alive_seconds
        if keep_alive:
            due.append(self._last_sent + keep_alive * _PING_SHARE)
        return max(min(due, default=time.monotonic() + 60) - time.monotonic(), 0.0)

    def _check_time(self) -> None:
        now = time.monotonic()
        keep_alive = self._connection.keep_alive_seconds
        if self._outbox.in_flight and now - self._waiting_since > STALL_SECONDS:
            raise Stalled(f"no acknowledgement in {STALL_SECONDS:.0f} s")
        if keep_alive and now - self._last_received > keep_alive * _DEAD_SHARE:
            raise Stalled(f"no answer to a ping in {keep_alive:.0f} s")
        if keep_alive and now - self._last_sent >= keep_alive * _PING_SHARE:
            self._connection.write(mqtt_packet.PING_REQUEST)
            self._last_sent = now
