"""Turn the bytes of one client into packets, packets into bytes, and end it when it is silent."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker.packet import (
    V5,
    V311,
    PacketError,
    Reason,
    body_bounds,
    encode_packet,
)
from epm_task.simulator.broker.properties import write_properties
from epm_task.simulator.listener import HANDSHAKE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

#: So much is joined into one write; a TLS record holds 16 KiB.
_WRITE_BYTES: Final = 65_536
#: Above this, the client counts as slow: what follows waits in its session, where it is bounded.
_SLOW_BYTES: Final = 262_144
#: A client is silent after one and a half of its keep-alive (section 3.1.2.10).
_KEEP_ALIVE_FACTOR: Final = 1.5


class Limits(NamedTuple):
    """The broker's bounds, in the units that their names carry."""

    packet_bytes: int = 1_048_576  #: A longer packet closes its connection with 0x95.
    #: A connection that has not sent CONNECT by then is closed.
    connect_seconds: float = HANDSHAKE_SECONDS
    #: A client that is told why its connection ends gets so long to read it.
    linger_seconds: float = 1.0
    #: QoS 1 and 2 publications of one client that await the end of their exchange.
    receive_maximum: int = 65_535
    topic_aliases: int = 64  #: Topic aliases of one client.
    window: int = 1_000  #: Unacknowledged deliveries to one client, unless it asks for fewer.
    #: Messages that wait for one client; the oldest are dropped beyond it.
    queue_messages: int = 100_000
    queue_bytes: int = 32 * 1_048_576  #: Bytes of the payloads that wait for one client.
    absent_sessions: int = 1_000  #: Sessions whose client is away; the longest absent ends first.


class Connection(asyncio.Protocol):
    """The bytes of one client, held by *connections* while its transport is open.

    `Client` says what its packets mean.
    """

    def __init__(self, limits: Limits, connections: set[Connection]) -> None:
        self.version = V311
        self.blocked: bool = False  #: Whether the client reads too slowly for more to be written.
        self.packet_bytes: int | None = None  #: Longest packet that the client takes; None for any.
        self.limit: int = limits.packet_bytes  #: Longest packet that is read.
        self.lost: asyncio.Future[None]  #: Done when the transport is gone.
        self._limits: Final = limits
        self._connections: Final = connections
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop
        self._received = bytearray()
        self._needed = 0
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._heard = 0.0
        self._silence_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._greeted = False
        self._ended = False

    @abstractmethod
    def receive(self, first: int, data: bytes, start: int, end: int) -> None:
        """Take the packet with this first byte, whose body lies between *start* and *end*.

        Raises PacketError when it ends the connection.
        """

    @abstractmethod
    def drain(self) -> None:
        """Send what waited while the client read too slowly."""

    @abstractmethod
    def leave(self, why: str) -> bool:
        """Let the client go; return whether it had been admitted."""

    @abstractmethod
    def overdue(self) -> None:
        """End the connection, as no CONNECT has come in time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: CONNECT must come in time."""
        self._loop = asyncio.get_running_loop()
        self.lost = self._loop.create_future()
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_SLOW_BYTES)
        self._connections.add(self)
        self.await_connect()

    def await_connect(self) -> None:
        """Give the client its time to send CONNECT."""
        self._start_timer(self._limits.connect_seconds, self.overdue)

    def data_received(self, data: bytes) -> None:
        """Read all packets that are complete."""
        if self._ended:
            return
        data = bytes(data)  # Windows' loop passes a bytearray, before Python 3.12
        if self._received:
            self._received += data
            if len(self._received) < self._needed:
                return
            data = bytes(self._received)
            self._received = bytearray()
        self._heard = monotonic()
        try:
            self._read(data)
        except PacketError as error:
            self.end(error.reason, error.why)
        except Exception as error:  # noqa: BLE001 - one client must not stop the broker for all
            self.end(Reason.FAILURE, f"broker error: {type(error).__name__}: {error}")

    def _read(self, data: bytes) -> None:
        at, size = 0, len(data)
        while at < size:
            # Looked at before the packet is whole: a web browser's request may never end.
            if not self._greeted and data[at] != PacketTypes.CONNECT << 4:
                raise PacketError("the first packet is not a CONNECT", Reason.PROTOCOL_ERROR)
            bounds = body_bounds(data, at, self.limit)
            if bounds is None or bounds[1] > size:
                self._needed = bounds[1] - at if bounds else 0
                self._received += memoryview(data)[at:]
                return
            start, end = bounds
            self.receive(data[at], data, start, end)
            if self._ended:
                return
            at = end

    def send(self, frame: bytes) -> None:
        """Send one packet, together with all others of this turn of the loop."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        if self._unsent_bytes > _WRITE_BYTES:
            self._flush()

    def _flush(self) -> None:
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if unsent and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(unsent))

    def pause_writing(self) -> None:
        """The client does not read: let its messages wait, and read nothing more that it sends."""
        self.blocked = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.blocked = False
        if self._transport is not None and not self._ended:
            self._transport.resume_reading()
            self.drain()

    def keep_alive(self, seconds: int) -> None:
        """End the wait for CONNECT; unless *seconds* is 0, the client must be heard within them."""
        self._greeted = True
        self._stop_timer()
        self._silence_seconds = seconds * _KEEP_ALIVE_FACTOR
        if seconds:
            self._start_timer(self._silence_seconds, self._listen)

    def end(self, reason: int, why: str) -> None:
        """Close the connection; an MQTT 5 client is told the reason when it is not 0."""
        if self._ended:
            return
        self._ended = True
        told = self.leave(why) and self.version == V5 and reason
        if told:
            self.send(_disconnect(reason, why, self.packet_bytes))
        self._flush()
        self._received = bytearray()
        self._stop_timer()
        if self._transport is None:
            return
        if not told:
            self._transport.close()
        # A close while the client still sends would be a reset before it reads the reason.
        self._start_timer(self._limits.linger_seconds, self._transport.abort)

    def hang_up(self) -> None:
        """Drop the connection without a word."""
        self.end(Reason.SUCCESS, "dropped by the agent")
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the client, and every timer, which would keep the TLS buffers alive."""
        if not self._ended:
            self._ended = True
            self.leave("the client closed the connection" if error is None else str(error))
        self._stop_timer()
        self._unsent.clear()
        self._received = bytearray()
        self._transport = None
        self._connections.discard(self)
        self.lost.set_result(None)

    def _listen(self) -> None:
        left = self._heard + self._silence_seconds - monotonic()
        if left > 0:
            self._start_timer(left, self._listen)
            return
        self.end(Reason.KEEP_ALIVE_TIMEOUT, "the client is silent for longer than its keep-alive")

    def _start_timer(self, seconds: float, action: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(seconds, action)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _disconnect(reason: int, why: str, limit: int | None) -> bytes:
    properties = write_properties(PacketTypes.DISCONNECT, ReasonString=why[:200])
    frame = encode_packet(PacketTypes.DISCONNECT << 4, bytes((reason,)), properties)
    if limit is not None and len(frame) > limit:
        return encode_packet(PacketTypes.DISCONNECT << 4, bytes((reason,)))
    return frame
