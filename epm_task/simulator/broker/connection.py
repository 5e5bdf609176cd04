"""A connection turns bytes into packets for its dialogue, packets of its session into bytes."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker import reason as reasons
from epm_task.simulator.broker.dialogue import Dialogue
from epm_task.simulator.broker.packet import V5, V311, body_bounds, encode_packet
from epm_task.simulator.broker.packet_error import PacketError
from epm_task.simulator.broker.properties import new_properties, write_properties

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.broker.parts import Parts

#: So much is joined into one write; a TLS record holds 16 KiB.
_WRITE_BYTES: Final = 65_536
#: Above this, the client counts as slow: what follows waits in its session, where it is bounded.
_SLOW_BYTES: Final = 262_144
#: A client is silent after one and a half of its keep-alive (section 3.1.2.10).
_KEEP_ALIVE_FACTOR: Final = 1.5


class Connection(asyncio.Protocol):
    """The bytes of one client.

    Args:
        parts: What all connections of the broker share.
        on_lost: Called once, when the transport is gone.
    """

    def __init__(self, parts: Parts, on_lost: Callable[[Connection], None]) -> None:
        """Wait for a transport; over TLS, bytes can come first."""
        self.version = V311
        self.blocked = False
        self.packet_bytes: int | None = None
        #: Longest packet that is read; short until the client is admitted.
        self.limit = parts.limits.connect_bytes
        self.transport: asyncio.Transport | None = None
        self._parts: Final = parts
        self._on_lost: Final = on_lost
        self._dialogue: Final = Dialogue(parts, self)
        self._received = bytearray()
        self._needed = 0
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._heard = 0.0
        self._silence_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: CONNECT must come in time."""
        if self._ended:
            cast("asyncio.Transport", transport).abort()
            return
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_SLOW_BYTES)
        self._start_timer(self._parts.limits.connect_seconds, self._no_connect)
        if self._received:
            self.data_received(b"")

    def data_received(self, data: bytes) -> None:
        """Read all packets that are complete, then write all that they caused."""
        if self._ended:
            return
        if self._received or self.transport is None:
            self._received += data
            if self.transport is None or len(self._received) < self._needed:
                return
            data = bytes(self._received)
            self._received = bytearray()
        self._heard = monotonic()
        try:
            self._read(data)
        except PacketError as error:
            self.end(error.reason, error.why)
        except Exception as error:  # noqa: BLE001 - one client must not stop the broker for all
            self.end(reasons.UNSPECIFIED_ERROR, f"broker error: {type(error).__name__}: {error}")
        self._parts.exchange.flush()

    def _read(self, data: bytes) -> None:
        at, size = 0, len(data)
        receive = self._dialogue.receive
        while at < size:
            bounds = body_bounds(data, at, self.limit)
            if bounds is None or bounds[1] > size:
                self._dialogue.expect(data[at])
                self._needed = bounds[1] - at if bounds else 0
                break
            start, end = bounds
            receive(data[at], data, start, end)
            if self._ended:
                return
            at = end
        if at < size:
            self._received += memoryview(data)[at:]

    def send(self, frame: bytes) -> None:
        """Send one packet with the next flush."""
        if not self._unsent:
            self._parts.exchange.unflushed.append(self)
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        if self._unsent_bytes > _WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was sent."""
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if unsent and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(unsent))

    def pause_writing(self) -> None:
        """The client does not read: let its messages wait, and read nothing more that it sends."""
        self.blocked = True
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.blocked = False
        if self.transport is not None and not self._ended:
            self.transport.resume_reading()
            self._dialogue.drain()
            self._parts.exchange.flush()

    def accept(self, keep_alive_seconds: int) -> None:
        """End the wait for CONNECT; from now on the client must be heard within its keep-alive."""
        self._parts.waiting.leave(self)
        self._stop_timer()
        self._silence_seconds = keep_alive_seconds * _KEEP_ALIVE_FACTOR
        if keep_alive_seconds:
            self._start_timer(self._silence_seconds, self._listen)

    def end(self, reason: int, why: str) -> None:
        """Close the connection; an MQTT 5 client is told the reason when it is not 0."""
        if self._ended:
            return
        self._ended = True
        self._parts.waiting.leave(self)
        told = self._dialogue.leave(why) and self.version == V5 and reason
        if told:
            self.send(_disconnect(reason, why, self.packet_bytes))
        self.flush()
        self._received = bytearray()
        self._stop_timer()
        if self.transport is None:
            return
        if not told:
            self.transport.close()
        # A close while the client still sends would be a reset before it reads the reason.
        self._start_timer(self._parts.limits.linger_seconds, self.transport.abort)

    def hang_up(self) -> None:
        """Drop the connection without a word."""
        self.end(reasons.SUCCESS, "dropped by the agent")
        if self.transport is not None:
            self.transport.abort()

    def fail(self, why: str) -> None:
        """End a connection whose TLS has failed."""
        self.end(reasons.SUCCESS, why)
        self._on_lost(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the client."""
        if not self._ended:
            self._ended = True
            self._parts.waiting.leave(self)
            why = "the client closed the connection" if error is None else str(error)
            self._dialogue.leave(why)
            self._parts.exchange.flush()
        self._stop_timer()
        self._unsent.clear()
        self._received = bytearray()
        self.transport = None
        self._on_lost(self)

    def _no_connect(self) -> None:
        if self._parts.disturbance.silent():
            self._start_timer(self._parts.limits.connect_seconds, self._no_connect)
            return
        self.end(reasons.SUCCESS, f"no CONNECT within {self._parts.limits.connect_seconds:g} s")

    def _listen(self) -> None:
        left = self._heard + self._silence_seconds - monotonic()
        if left > 0:
            self._start_timer(left, self._listen)
            return
        self.end(reasons.KEEP_ALIVE_TIMEOUT, "the client is silent for longer than its keep-alive")
        self._parts.exchange.flush()

    def _start_timer(self, seconds: float, action: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, action)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _disconnect(reason: int, why: str, limit: int | None) -> bytes:
    properties = write_properties(new_properties(PacketTypes.DISCONNECT, ReasonString=why[:200]))
    frame = encode_packet(PacketTypes.DISCONNECT << 4, bytes((reason,)), properties)
    if limit is not None and len(frame) > limit:
        return encode_packet(PacketTypes.DISCONNECT << 4, bytes((reason,)))
    return frame
