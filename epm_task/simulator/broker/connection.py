"""A connection turns bytes into packets for its dialogue, packets of its session into bytes."""

from __future__ import annotations

import asyncio
import secrets
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker import reason as reasons
from epm_task.simulator.broker.client import Client
from epm_task.simulator.broker.connect import (
    Connect,
    UnsupportedVersion,
    encode_connack,
    parse_connect,
)
from epm_task.simulator.broker.packet import V5, V311, body_bounds, encode_packet
from epm_task.simulator.broker.properties import new_properties, write_properties
from epm_task.simulator.broker.publisher import Denials
from epm_task.simulator.broker.reason import PacketError
from epm_task.simulator.broker.sessions import allowed_will

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.broker.admission import Admission
    from epm_task.simulator.broker.context import Parts


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
        if self._parts.faults.silent():
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


#: The greatest receive maximum is also what MQTT 5 assumes when nothing is said.
_UNLIMITED: Final = 0xFFFF


class Dialogue:
    """What is said on one connection."""

    def __init__(self, parts: Parts, connection: Connection) -> None:
        """Wait for CONNECT."""
        self._parts: Final = parts
        self._connection: Final = connection
        self._client: Client | None = None
        self._denials: Denials | None = None

    def expect(self, first: int) -> None:
        """Check the first byte of a packet whose rest is still to come.

        Raises:
            PacketError: No CONNECT begins like this; a web browser's request does not have to end.
        """
        if self._client is None and first != PacketTypes.CONNECT << 4:
            raise PacketError(reasons.PROTOCOL_ERROR, "the first packet is no CONNECT")

    def receive(self, first: int, data: bytes, start: int, end: int) -> None:
        """Take one packet.

        Raises:
            PacketError: The packet ends the connection.
        """
        if self._parts.faults.silent():
            return
        if self._client is None:
            self._greet(first, data, start, end)
            return
        self._client.receive(first, data, start, end)
        self._disturb(self._client)

    def drain(self) -> None:
        """Send what waited while the client read too slowly."""
        if self._client is not None:
            self._client.session.drain()

    def leave(self, why: str) -> bool:
        """End the dialogue; return whether the client had been admitted."""
        client, self._client = self._client, None
        if client is None:
            if self._denials is None:
                self._parts.traces.add("mqtt", "closed", "a connection was closed", reason=why)
            return False
        if self._denials is not None:
            self._denials.sum_up()
        session = client.session
        expiry = session.expiry_seconds
        self._parts.sessions.leave(session)
        if client.will is not None:
            self._parts.wills.leave(client.will, expiry)
        self._parts.traces.add(
            "mqtt",
            "disconnected",
            f'"{session.client_id}" is gone',
            reason=why,
            client_id=session.client_id,
            job_id=session.job_id,
            publications=client.publisher.count,
        )
        return True

    def _disturb(self, client: Client) -> None:
        faults = self._parts.faults
        limit = faults.packet_limit()
        self._connection.limit = self._parts.limits.packet_bytes if limit is None else limit
        after = faults.drop_after()
        if after is not None and client.publisher.count >= after:
            self._connection.end(reasons.SUCCESS, f"dropped after {after} publications")

    def _greet(self, first: int, data: bytes, start: int, end: int) -> None:
        self.expect(first)
        try:
            connect = parse_connect(data, start, end)
        except UnsupportedVersion as error:
            self._refuse(V311, error.reason, error.why)
            return
        self._connection.version = connect.version
        client_id = connect.client_id or f"auto-{secrets.token_hex(8)}"
        refusal = self._parts.faults.refuse()
        if refusal is not None:
            self._refuse(connect.version, refusal, "refused by a fault that was asked for")
        elif not connect.client_id and connect.version == V311 and not connect.clean:
            self._refuse(V311, reasons.CLIENT_ID_NOT_VALID, "a session without a client id")
        else:
            self._admit(connect, client_id)

    def _admit(self, connect: Connect, client_id: str) -> None:
        # Nothing of the session table is touched before the client is known to be allowed.
        admission = self._ask(client_id)
        self._denials = Denials(
            self._parts.traces, client_id, admission.job_id, self._parts.limits.told_denials
        )
        if not admission.allowed:
            self._tell_connect(connect, client_id, admission)
            self._refuse(connect.version, reasons.NOT_AUTHORIZED, admission.reason)
            return
        self._tell_connect(connect, client_id, admission)
        will = allowed_will(connect.will, client_id, admission)
        if connect.will is not None and will is None:
            self._denials.will(connect.will.topic, len(connect.will.payload))
        session, present = self._parts.sessions.open(connect, client_id, admission)
        connection = self._connection
        connection.packet_bytes = connect.packet_bytes
        self._client = Client(self._parts, connection, session, admission, self._denials, will)
        self._accept(connect, client_id, present=present)
        session.attach(connection, connect.receive_maximum)

    def _ask(self, client_id: str) -> Admission:
        transport = self._connection.transport
        assert transport is not None  # noqa: S101 - a packet has come from it
        return self._parts.access.admit(
            client_id,
            transport.get_extra_info("sockname")[:2],
            transport.get_extra_info("peername")[:2],
            transport.get_extra_info("peercert"),
        )

    def _accept(self, connect: Connect, client_id: str, *, present: bool) -> None:
        limits = self._parts.limits
        limit = self._parts.faults.packet_limit()
        self._connection.limit = limits.packet_bytes if limit is None else limit
        values: dict[str, Any] = {
            "MaximumPacketSize": self._connection.limit,
            "TopicAliasMaximum": limits.topic_aliases,
            "SharedSubscriptionAvailable": 0,
        }
        if not connect.client_id:
            values["AssignedClientIdentifier"] = client_id
        if limits.receive_maximum < _UNLIMITED:
            values["ReceiveMaximum"] = limits.receive_maximum
        self._connection.accept(connect.keep_alive_seconds)
        self._connection.send(
            encode_connack(connect.version, reasons.SUCCESS, present=present, **values)
        )

    def _refuse(self, version: int, reason: int, why: str) -> None:
        if reason:
            self._connection.send(encode_connack(version, reason))
        self._connection.end(reasons.SUCCESS, why)

    def _tell_connect(self, connect: Connect, client_id: str, admission: Admission) -> None:
        version = "5" if connect.version == V5 else "3.1.1"
        verb = "connected" if admission.allowed else "was refused"
        self._parts.traces.add(
            "mqtt",
            "connected" if admission.allowed else "refused",
            f'"{client_id}" {verb} with MQTT {version}',
            denied=not admission.allowed,
            reason=admission.reason,
            client_id=client_id,
            job_id=admission.job_id,
        )
