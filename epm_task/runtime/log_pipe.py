"""The log pipe is the one way of every record: to the broker, or in full to stderr.

An accepted record is acknowledged by the broker, or stands on stderr as a JSON line, before the
process ends by itself. A call never blocks for longer than a second and never raises.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Final

from epm_task.runtime.mqtt_packet import NOT_AUTHORIZED
from epm_task.runtime.outbox import Message, Outbox
from epm_task.runtime.shield import SHIELD
from epm_task.runtime.topic import KEEPER_LOGGER

if TYPE_CHECKING:
    from epm_task.runtime.delivery import Delivery
    from epm_task.runtime.standard_streams import StandardStreams

#: A log call never blocks for longer: records must not hold up the work.
_PATIENCE_SECONDS: Final = 1.0
#: Time for a DISCONNECT after everything was acknowledged.
_GOODBYE_SECONDS: Final = 0.2


class LogPipe:
    """Takes records and publications, and accounts for each.

    Args:
        streams: Where stderr is.
        mirror: Records of this level or above are on stderr before the call returns.
    """

    def __init__(self, streams: StandardStreams, *, mirror: int) -> None:
        self.spilled = 0
        self.reason = "there is no broker"
        self._streams = streams
        self._mirror = mirror
        self._outbox: Final = Outbox()
        self._delivery: Delivery | None = None
        self._closed = False
        self._patience = _PATIENCE_SECONDS
        self._refused_topics: set[str] = set()
        self._refusals = threading.Lock()
        if hasattr(os, "register_at_fork"):  # a child has no delivery thread: stderr is its way
            os.register_at_fork(after_in_child=self._become_child)

    @property
    def outbox(self) -> Outbox:
        """What waits for the broker."""
        return self._outbox

    def attach(self, delivery: Delivery) -> None:
        """Send through *delivery* from now on."""
        self._delivery = delivery

    def without_broker(self, reason: str) -> None:
        """Send everything to stderr at once, from now on."""
        self.reason = reason
        self._closed = True
        for message in self._outbox.take_all():
            self._spill(message)

    def record(self, level: int, line: bytes) -> None:
        """Accept one record."""
        mirrored = level >= self._mirror
        with SHIELD:
            if mirrored:
                self._show(line)
            self._accept(Message(KEEPER_LOGGER, line, kept=mirrored))

    def publish(self, topic: str, payload: bytes) -> None:
        """Accept one message of the author's own topics."""
        with SHIELD:
            self._accept(Message(topic, payload))

    def refuse(self, message: Message, code: int, why: str) -> None:
        """Keep a message that the broker will not take; say once for each topic what to do."""
        with self._refusals:
            first = message.topic not in self._refused_topics
            if code == NOT_AUTHORIZED:
                self._refused_topics.add(message.topic)
        self.reason = why
        self._spill(message)
        if code == NOT_AUTHORIZED and first:
            self._say(
                f"the broker refused the topic {message.topic!r} ({why}); add "
                f'"{message.topic}" to mqttTopics.allowedPublications of the job; '
                "what was sent to it stands on stderr"
            )
        elif code != NOT_AUTHORIZED:
            self._say(f"a message on {message.topic!r} was not taken: {why}; it stands on stderr")

    def flush(self, seconds: float) -> int:
        """Wait until all is acknowledged, spill the rest; return how many records were spilled.

        Later records go to stderr at once. Takes at most *seconds* and half a second more.
        """
        delivery = self._delivery
        if delivery is not None:
            with self._outbox.changed:
                self._outbox.changed.wait_for(
                    lambda: self._outbox.empty or delivery.fatal is not None, seconds
                )
                if not self._outbox.empty or delivery.fatal is not None:
                    self.reason = delivery.problem or "no acknowledgement in time"
        self._closed = True
        for message in self._outbox.take_all():
            self._spill(message)
        if delivery is not None:
            delivery.close(_GOODBYE_SECONDS)
        return self.spilled

    def _accept(self, message: Message) -> None:
        delivery = self._delivery
        down = delivery is not None and delivery.fatal is not None
        if self._closed or down or message.topic in self._refused_topics:
            self._spill(message)
            return
        # Waiting helps only while somebody empties the outbox.
        patience = self._patience if delivery is not None and delivery.connected else 0.0
        if self._outbox.offer(message, patience):
            self._patience = _PATIENCE_SECONDS
            if delivery is not None and delivery.asleep:
                delivery.notify()
        else:
            if not self._closed:  # else another thread has flushed in the meantime
                self._patience = 0.0  # a second was lost once; not again until there is room
                self.reason = "the broker takes them too slowly"
            self._spill(message)

    def _spill(self, message: Message) -> None:
        self.spilled += 1
        if message.kept:
            return
        if message.topic == KEEPER_LOGGER:
            self._show(message.payload)
        else:
            head = b'{"topic":' + json.dumps(message.topic).encode("ascii") + b',"payload":'
            self._streams.write_stderr(head + message.payload + b"}\n")

    def _show(self, line: bytes) -> None:
        if self._streams.interactive:
            from epm_task.runtime.record_view import show_line  # noqa: PLC0415  # people only

            line = show_line(line)
        self._streams.write_stderr(line + b"\n")

    def _say(self, sentence: str) -> None:
        self._streams.write_stderr(f"epm_task: {sentence}\n".encode())

    def _become_child(self) -> None:
        self._closed = True
