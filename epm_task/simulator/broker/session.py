"""What the broker remembers of one client id: subscriptions, and messages on their way to it."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker.packet import encode_reply

if TYPE_CHECKING:
    import asyncio

    from epm_task.simulator.broker.connection import Connection, Limits
    from epm_task.simulator.broker.message import Message
    from epm_task.simulator.broker.parse import Subscription
    from epm_task.simulator.processes.registry import MqttAdmission
    from epm_task.simulator.trace import Action, Trace


_MAX_PACKET_ID: Final = 0xFFFF


class Terms(NamedTuple):
    """How one session gets a message: the best of all its subscriptions that match."""

    qos: int
    retain_as_published: bool = False
    identifiers: tuple[int, ...] = ()


class Delivery(NamedTuple):
    """A message on its way to one session."""

    message: Message
    qos: int
    retain: bool
    identifiers: tuple[int, ...]


class Session:
    """One client id's memory; it outlives its connection as long as its expiry says.

    *admission* says whose it is; nobody else ever gets it.
    """

    def __init__(
        self, client_id: str, admission: MqttAdmission, limits: Limits, trace: Trace
    ) -> None:
        self.client_id: Final = client_id
        self.job_id: Final = admission.job_id
        self.run_id: str | None = (
            admission.run_id
        )  #: The run of its client, the last one while it is away.
        self.subscriptions: dict[str, Subscription] = {}
        #: Packet ids of QoS 2 publications whose PUBREL is still to come.
        self.incoming: set[bytes] = set()
        self.connection: Connection | None = None
        self.expiry_seconds = 0
        self.expiry_timer: asyncio.TimerHandle | None = None
        self.dropped: int = 0  #: Messages that were thrown away because the client did not keep up.
        self._told_dropped = 0
        self._limits: Final = limits
        self._trace: Final = trace
        self._window = limits.window
        self._packet_id = 0
        self._queue: deque[Delivery] = deque()
        self._queued_bytes = 0
        # A delivery whose PUBREC has come is None: only its PUBCOMP is awaited.
        self._unacknowledged: dict[int, Delivery | None] = {}

    def belongs_to(self, admission: MqttAdmission) -> bool:
        """Return whether it is handed over: to any run of the same job, or from admin to admin."""
        same = (self.run_id is None) == (admission.run_id is None)
        return same and self.job_id == admission.job_id

    def attach(self, connection: Connection, receive_maximum: int) -> None:
        """Continue on a new connection: first what was under way, then what waited."""
        self.connection = connection
        self._window = min(receive_maximum, self._limits.window)
        for packet_id, delivery in list(self._unacknowledged.items()):
            if delivery is None:
                number = packet_id.to_bytes(2, "big")
                connection.send(encode_reply(PacketTypes.PUBREL, connection.version, number))
            else:
                self._write(connection, packet_id, delivery, again=True)
        self.drain()

    def detach(self) -> None:
        """Let the connection go; what waits with QoS 0 goes with it."""
        self.connection = None
        self._tell_dropped()
        self._queue = deque(delivery for delivery in self._queue if delivery.qos)
        self._queued_bytes = sum(len(delivery.message.payload) for delivery in self._queue)

    def deliver(self, message: Message, terms: Terms, *, retain: bool) -> None:
        """Send *message* now if the client keeps up, else let it wait; never blocks."""
        qos = min(message.qos, terms.qos)
        delivery = Delivery(message, qos, retain, terms.identifiers)
        connection = self.connection
        if connection is None:
            if qos:
                self._enqueue(delivery)
        elif self._queue or connection.blocked or (qos and self._window_is_full()):
            self._enqueue(delivery)
        else:
            self._send(connection, delivery)

    def drain(self) -> None:
        """Send what waits, as far as the client allows."""
        connection = self.connection
        while self._queue and connection is not None and not connection.blocked:
            if self._queue[0].qos and self._window_is_full():
                return
            delivery = self._queue.popleft()
            self._queued_bytes -= len(delivery.message.payload)
            if not delivery.message.expired(monotonic()):
                self._send(connection, delivery)
        if not self._queue:
            self._tell_dropped()

    def acknowledged(self, packet_id: int) -> None:
        """Forget a delivery: PUBACK, PUBCOMP or a PUBREC that refuses it has come."""
        self._unacknowledged.pop(packet_id, None)
        if self._queue:
            self.drain()

    def received(self, packet_id: int) -> bool:
        """Note a PUBREC; return whether its delivery is known."""
        known = packet_id in self._unacknowledged
        if known:
            self._unacknowledged[packet_id] = None
        return known

    def note(
        self, action: Action, what: str, why: str, *, denied: bool = False, **facts: object
    ) -> None:
        """Add to the trace what was decided about this client, and the reason."""
        facts |= {"client_id": self.client_id, "job_id": self.job_id, "run_id": self.run_id}
        self._trace.add("mqtt", action, what, denied=denied, reason=why, **facts)

    def _window_is_full(self) -> bool:
        return len(self._unacknowledged) >= self._window

    def _send(self, connection: Connection, delivery: Delivery) -> None:
        packet_id = 0
        if delivery.qos:
            packet_id = self._next_packet_id()
            self._unacknowledged[packet_id] = delivery
        self._write(connection, packet_id, delivery, again=False)

    def _write(
        self, connection: Connection, packet_id: int, delivery: Delivery, *, again: bool
    ) -> None:
        frame = delivery.message.encode(
            connection.version,
            delivery.qos,
            packet_id,
            retain=delivery.retain,
            again=again,
            subscription_ids=delivery.identifiers,
        )
        limit = connection.packet_bytes
        if limit is not None and len(frame) > limit:
            # Section 3.1.2.11.4 of MQTT 5: behave as if it had been delivered.
            self._unacknowledged.pop(packet_id, None)
            self._drop(f"{len(frame)} bytes are more than the client takes ({limit})")
        else:
            connection.send(frame)

    def _next_packet_id(self) -> int:
        # The window is far smaller than the number of ids, so a free one is near.
        while True:
            self._packet_id = self._packet_id % _MAX_PACKET_ID + 1
            if self._packet_id not in self._unacknowledged:
                return self._packet_id

    def _enqueue(self, delivery: Delivery) -> None:
        self._queue.append(delivery)
        self._queued_bytes += len(delivery.message.payload)
        while (
            len(self._queue) > self._limits.queue_messages
            or self._queued_bytes > self._limits.queue_bytes
        ):
            oldest = self._queue.popleft()
            self._queued_bytes -= len(oldest.message.payload)
            self._drop("the client does not keep up; its oldest messages go first")

    def _drop(self, why: str) -> None:
        self.dropped += 1
        if self.dropped == self._told_dropped + 1:
            what = f'a message to "{self.client_id}" was dropped'
            self.note("dropped", what, why, dropped=1)

    def _tell_dropped(self) -> None:
        count = self.dropped - self._told_dropped
        if count:
            what = f'{count} messages to "{self.client_id}" were dropped'
            self.note("dropped", what, "summed up", dropped=count)
            self._told_dropped = self.dropped
