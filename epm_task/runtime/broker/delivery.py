"""Carry an outbox to the broker in a thread of its own, over one connection after another."""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from epm_task.errors import BrokerError, BrokerUnreachable
from epm_task.runtime.agent.client import waits
from epm_task.runtime.broker.connection import (
    ConnectionLost,
    MqttConnection,
    VersionRefused,
    reason_text,
)
from epm_task.runtime.broker.packet import PING_REQUEST
from epm_task.runtime.stop import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.runtime.broker.connection import BrokerAddress
    from epm_task.runtime.broker.inbox import Inbox
    from epm_task.runtime.log.outbox import Message, Outbox

#: On loopback a broker that restarts is back soon; one that is down is not worth a busy loop.
_FIRST_WAIT_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 2.0
#: A message that makes the broker hang up would be sent first, for ever. After two losses without
#: an acknowledgement messages go one by one, and the one that fails is given up.
_LOSSES_BEFORE_LONE: Final = 2

#: On loopback an acknowledgement takes milliseconds.
STALL_SECONDS: Final = 2.0
#: A broker that is only slow is left less and less often: each new connection costs it more.
_LONGEST_STALL_SECONDS: Final = 16.0
#: MQTT lets a broker close after 1.5 keep-alives without a packet; half leaves room for a slow one.
_PING_SHARE: Final = 0.5
_DEAD_SHARE: Final = 1.5
#: MQTT 5 reason code "packet too large".
_TOO_LARGE: Final = 0x95
#: Fixed header, topic length, packet id and property length beside topic and payload.
_PUBLISH_OVERHEAD_BYTES: Final = 10


class Delivery:
    """Sends what the outbox holds, in a thread of its own, until it is closed.

    It calls *refused* there with each message that will not be acknowledged, the reason code, and
    the reason in words.
    """

    def __init__(
        self,
        outbox: Outbox,
        address: BrokerAddress,
        refused: Callable[[Message, int, str], None],
        inbox: Inbox | None = None,
    ) -> None:
        self.address: Final = address
        self._refused = refused
        self.asleep: bool = False
        self.closing: bool = False
        self.connected: bool = False
        #: How long a broker may owe an acknowledgement, in seconds.
        self.patience: float = STALL_SECONDS
        #: What the handler may read; None when the task subscribes to nothing.
        self.inbox: Final = inbox
        if inbox is not None:
            inbox.wake, inbox.problem = self._wake, lambda: self.fatal
        self.fatal: BrokerError | None = None
        self.problem: str = "not tried yet"
        self._outbox = outbox
        self._mqtt5 = True
        self._losses = 0
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._cause: ConnectionLost | None = None
        self._thread = start_thread(self._run, "epm-task-delivery")

    def wait_until_connected(self, seconds: float) -> None:
        """Return when the broker has accepted the connection.

        Raises:
            BrokerUnreachable: It has not in *seconds*.
            BrokerError: It refused, or is not the agent's.
        """
        started = time.monotonic()
        with self._outbox.changed:
            self._outbox.changed.wait_for(lambda: self.connected or self.fatal, seconds)
        if self.fatal is not None:
            raise self.fatal
        if not self.connected:
            passed = time.monotonic() - started
            raise BrokerUnreachable(str(self.address), passed, self.problem) from self._cause

    def notify(self) -> None:
        """Tell the thread that the outbox holds something new."""
        if self.asleep:
            self.asleep = False
            self._wake()

    def leave(self) -> None:
        """Say goodbye to the broker and end the thread, without waiting for it."""
        self.closing = True
        self._wake()

    def close(self, seconds: float) -> None:
        """Say goodbye to the broker and end the thread; wait for that at most *seconds*."""
        self.leave()
        self._thread.join(seconds)

    def _wake(self) -> None:
        try:
            self._wake_writer.send(b"\0")
        except OSError:
            return  # it is full of wake-ups already, or closed

    def _run(self) -> None:
        try:
            while (connection := self._connect()) is not None:
                self._serve(connection)
        except BrokerError as error:
            self.fatal = error
        except Exception as error:  # noqa: BLE001  # whatever ends this thread, the run goes on
            why = f"{type(error).__name__}: {error}"
            what, fix = "the connection to the broker has failed", "report this as a defect"
            self.fatal = BrokerError(what, why, fix)
            self.fatal.__cause__ = error
        finally:
            self._wake_reader.close()
            self._wake_writer.close()
        if self.fatal is not None:
            self._report(connected=False, problem=str(self.fatal))

    def _connect(self) -> MqttConnection | None:
        delays = waits(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        while not self.closing:
            try:
                return MqttConnection(self.address, mqtt5=self._mqtt5)
            except VersionRefused as error:
                self._mqtt5 = not self._mqtt5
                self._report(connected=False, problem=str(error))
            except ConnectionLost as error:
                self._cause = error
                self._report(connected=False, problem=str(error))
            self._sleep(next(delays))
        return None

    def _sleep(self, seconds: float) -> None:
        # Only closing wakes it: without a connection nobody sees `asleep`.
        self._wake_reader.settimeout(seconds)
        try:
            self._wake_reader.recv(4096)
        except TimeoutError:
            return
        finally:
            self._wake_reader.setblocking(False)

    def _serve(self, connection: MqttConnection) -> None:
        lone = self._losses >= _LOSSES_BEFORE_LONE
        session = MqttSession(connection, self._outbox, self, self._wake_reader, lone=lone)
        if self.inbox is not None:
            self.inbox.begin(mqtt5=connection.mqtt5)
        self._report(connected=True, problem="")
        problem: ConnectionLost | None = None
        try:
            session.run()
        except ConnectionLost as error:
            problem = error
        except OSError as error:  # such as no descriptor left for the selector
            problem = ConnectionLost(error.strerror or str(error))
        if self.inbox is not None:
            if problem is None:  # the acknowledgements of the end
                with suppress(ConnectionLost):
                    connection.write(self.inbox.outgoing())
            self.inbox.end()
        connection.close(politely=problem is None)
        self._count_loss(problem, progress=session.progress, lone=lone)
        self._outbox.put_back()
        self._report(connected=False, problem=str(problem or "closed"))

    def _count_loss(self, problem: ConnectionLost | None, *, progress: bool, lone: bool) -> None:
        if progress:
            self._losses = 0
            self.patience = STALL_SECONDS
        elif isinstance(problem, Stalled):
            self.patience = min(2 * self.patience, _LONGEST_STALL_SECONDS)
        if problem is None or isinstance(problem, Stalled) or not self._outbox.in_flight:
            return
        self._losses += 1
        if lone and not progress and (packet_id := self._outbox.oldest()):
            self._losses = 0
            self.give_up(packet_id, 0, f"the broker hung up each time it was sent ({problem})")

    def give_up(self, packet_id: int, code: int, why: str) -> bool:
        """Refuse a message in flight; return False when there is none of this id."""
        message = self._outbox.find(packet_id)
        if message is not None:
            self._refused(message, code, why)
            self._outbox.withdraw(packet_id)  # last, so that it is never in nobody's hands
        return message is not None

    def _report(self, *, connected: bool, problem: str) -> None:
        with self._outbox.changed:
            self.connected = connected
            self.problem = problem
            self._outbox.changed.notify_all()


class Stalled(ConnectionLost):
    """The broker keeps the connection open and says nothing."""


class MqttSession:
    """One connection at work; it sends one message at a time when it is *lone*.

    Its owner learns of refusals, and whether it is `asleep`: a new message then needs a wake-up,
    which makes *wake* readable.
    """

    def __init__(
        self,
        connection: MqttConnection,
        outbox: Outbox,
        owner: Delivery,
        wake: socket.socket,
        *,
        lone: bool,
    ) -> None:
        self.progress: bool = False
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
        inbox = self._owner.inbox
        if inbox is not None and inbox.waiting:
            self._connection.write(inbox.outgoing())
            self._last_sent = time.monotonic()
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
        too_large = size > limit
        if too_large:
            self._owner.give_up(
                packet_id, _TOO_LARGE, f"it is larger than the broker's {limit} bytes"
            )
        return not too_large

    def _wait(self, selector: selectors.BaseSelector) -> None:
        events = selectors.EVENT_READ
        if self._connection.wants_to_write:
            events |= selectors.EVENT_WRITE
        selector.modify(self._connection, events)
        self._owner.asleep = self._room
        # A message may have come before anybody saw us asleep.
        inbox = self._owner.inbox
        ready = (self._room and self._outbox.waiting) or (inbox is not None and inbox.waiting)
        seconds = 0.0 if ready else self._seconds_until_due()
        for key, _ in selector.select(seconds):
            if key.fileobj is self._wake:
                self._wake.recv(4096)
        self._owner.asleep = False

    def _receive(self) -> None:
        received = self._connection.read()
        if received is None:
            return
        self._last_received = time.monotonic()
        if received.settled or received.refused:  # an answer to a ping acknowledges nothing
            self._waiting_since = self._last_received
        if received.settled:
            self.progress |= self._outbox.settle(received.settled) > 0
        for packet_id, code in received.refused:
            self.progress |= self._owner.give_up(packet_id, code, reason_text(code))
        if (inbox := self._owner.inbox) is not None:
            if received.arrived:
                inbox.receive(received.arrived)
            for packet_id, codes in received.granted:
                inbox.granted(packet_id, codes)
        if received.disconnect_reason is not None:
            why = reason_text(received.disconnect_reason, disconnect=True)
            raise ConnectionLost(f"the broker disconnected: {why}")

    def _seconds_until_due(self) -> float:
        due = [self._owner.patience + self._waiting_since] if self._outbox.in_flight else []
        keep_alive = self._connection.keep_alive_seconds
        if keep_alive:
            due.append(self._last_sent + keep_alive * _PING_SHARE)
        return max(min(due, default=time.monotonic() + 60) - time.monotonic(), 0.0)

    def _check_time(self) -> None:
        now = time.monotonic()
        keep_alive = self._connection.keep_alive_seconds
        if self._outbox.in_flight and now - self._waiting_since > self._owner.patience:
            raise Stalled(f"no acknowledgement in {self._owner.patience:.0f} s")
        if keep_alive and now - self._last_received > keep_alive * _DEAD_SHARE:
            raise Stalled(f"no answer to a ping in {keep_alive:.0f} s")
        if keep_alive and now - self._last_sent >= keep_alive * _PING_SHARE:
            self._connection.write(PING_REQUEST)
            self._last_sent = now
