"""A dialogue is the course of one connection: CONNECT, then an admitted client, then the end."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker import reason as reasons
from epm_task.simulator.broker.client import Client
from epm_task.simulator.broker.connect import (
    Connect,
    UnsupportedVersion,
    encode_connack,
    parse_connect,
)
from epm_task.simulator.broker.denials import Denials
from epm_task.simulator.broker.disturbance import Undisturbed
from epm_task.simulator.broker.packet import V5, V311
from epm_task.simulator.broker.packet_error import PacketError
from epm_task.simulator.broker.will import allowed_will

if TYPE_CHECKING:
    from epm_task.simulator.broker.admission import Admission
    from epm_task.simulator.broker.connection import Connection
    from epm_task.simulator.broker.parts import Parts

#: The greatest receive maximum is also what MQTT 5 assumes when nothing is said.
_UNLIMITED: Final = 0xFFFF


class Dialogue:
    """What is said on one connection."""

    def __init__(self, parts: Parts, connection: Connection) -> None:
        """Wait for CONNECT."""
        self._parts: Final = parts
        self._connection: Final = connection
        self._disturbed: Final = not isinstance(parts.disturbance, Undisturbed)
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
        if self._disturbed and self._parts.disturbance.silent():
            return
        if self._client is None:
            self._greet(first, data, start, end)
            return
        self._client.receive(first, data, start, end)
        if self._disturbed:
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
                self._parts.traces.add("mqtt", "a connection was closed", reason=why)
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
            f'"{session.client_id}" is gone',
            reason=why,
            client_id=session.client_id,
            job_id=session.job_id,
            publications=client.publisher.count,
        )
        return True

    def _disturb(self, client: Client) -> None:
        disturbance = self._parts.disturbance
        limit = disturbance.packet_limit()
        self._connection.limit = self._parts.limits.packet_bytes if limit is None else limit
        after = disturbance.drop_after()
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
        refusal = self._parts.disturbance.refuse()
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
        limit = self._parts.disturbance.packet_limit()
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
            f'"{client_id}" {verb} with MQTT {version}',
            denied=not admission.allowed,
            reason=admission.reason,
            client_id=client_id,
            job_id=admission.job_id,
        )
