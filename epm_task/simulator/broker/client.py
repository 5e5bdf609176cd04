"""Serve one client from its CONNECT to its goodbye: refuse or admit it, then answer its packets."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker.connection import Connection
from epm_task.simulator.broker.packet import (
    V5,
    V311,
    PacketError,
    Reader,
    Reason,
    encode_packet,
    encode_reply,
)
from epm_task.simulator.broker.parse import (
    is_topic_filter,
    parse_connect,
    parse_subscribe,
    parse_unsubscribe,
)
from epm_task.simulator.broker.properties import read_properties, write_properties
from epm_task.simulator.broker.publisher import Denials, Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from epm_task.simulator.broker.parse import Connect, Subscription, Will
    from epm_task.simulator.broker.session import Session
    from epm_task.simulator.broker.state import BrokerState
    from epm_task.simulator.processes.registry import MqttAdmission

#: These three carry the flags 2, all others but PUBLISH 0 (section 2.1.3 of MQTT 5).
_FLAGGED: Final = frozenset((PacketTypes.PUBREL, PacketTypes.SUBSCRIBE, PacketTypes.UNSUBSCRIBE))
_PINGRESP: Final = encode_packet(PacketTypes.PINGRESP << 4)
#: The greatest receive maximum is also what MQTT 5 assumes when nothing is said.
_UNLIMITED: Final = 0xFFFF
#: A topic filter that begins so is a shared subscription, which this broker does not offer.
_SHARED: Final = "$share/"
#: MQTT 3.1.1 knows five refusals (table 3.1); any other reason becomes 3, unavailable.
_RETURN_CODES: Final[dict[int, int]] = {
    Reason.SUCCESS: 0,
    Reason.UNSUPPORTED_VERSION: 1,
    Reason.CLIENT_ID_NOT_VALID: 2,
    Reason.BAD_USER_NAME_OR_PASSWORD: 4,
    Reason.NOT_AUTHORIZED: 5,
}
_UNAVAILABLE: Final = 3


class Client(Connection):
    """One client of *broker*."""

    def __init__(self, broker: BrokerState) -> None:
        super().__init__(broker.limits, broker.connections)
        self._broker: Final = broker
        self._asked = False
        self._admitted = False
        # The denials are there when the access rules were asked, the others for who is admitted.
        self._denials: Denials
        self._session: Session
        self._admission: MqttAdmission
        self._publisher: Publisher
        #: Left behind when the connection breaks; None after an orderly DISCONNECT.
        self._will: Will | None = None
        self._actions: Final[dict[int, Callable[[bytes, int, int], None]]] = {
            PacketTypes.PUBACK: self._puback,
            PacketTypes.PUBREC: self._pubrec,
            PacketTypes.PUBREL: self._pubrel,
            PacketTypes.PUBCOMP: self._puback,
            PacketTypes.SUBSCRIBE: self._subscribe,
            PacketTypes.UNSUBSCRIBE: self._unsubscribe,
            PacketTypes.PINGREQ: self._ping,
            PacketTypes.DISCONNECT: self._disconnect,
        }

    def receive(self, first: int, data: bytes, start: int, end: int) -> None:
        """Take one packet; raises PacketError when it ends the connection."""
        faults = self._broker.faults
        if faults.value("broker", "silence"):
            return
        if not self._admitted:
            self._greet(data, start, end)
            return
        kind = first >> 4
        if kind == PacketTypes.PUBLISH:
            self._publisher.publish(first, data, start, end)
        else:
            self._act(kind, first, data, start, end)
        self._apply_packet_limit()
        after = faults.value("broker", "drop_after")
        if after is not None and self._publisher.count >= after:
            self.end(Reason.SUCCESS, f"dropped after {after} publications")

    def drain(self) -> None:
        """Send what waited while the client read too slowly."""
        if self._admitted:
            self._session.drain()

    def overdue(self) -> None:
        """End the connection, unless the broker is silent on purpose."""
        if self._broker.faults.value("broker", "silence"):
            self.await_connect()
        else:
            self.end(Reason.SUCCESS, f"no CONNECT within {self._limits.connect_seconds:g} s")

    def leave(self, why: str) -> bool:
        """Let the client go; return whether it had been admitted."""
        if not self._admitted:
            if not self._asked:
                self._broker.trace.add("mqtt", "closed", "a connection was closed", reason=why)
            return False
        self._admitted = False
        self._denials.sum_up()
        session = self._session
        self._broker.sessions.leave(session, self._will)
        what = f'"{session.client_id}" is gone'
        session.note("disconnected", what, why, publications=self._publisher.count)
        return True

    def _greet(self, data: bytes, start: int, end: int) -> None:
        try:
            connect = parse_connect(data, start, end)
        except PacketError as error:
            if error.reason != Reason.UNSUPPORTED_VERSION:
                raise
            self._refuse(error.reason, error.why)
            return
        self.version: int = connect.version
        client_id = connect.client_id or f"auto-{secrets.token_hex(8)}"
        refusal = self._broker.faults.refuse()
        if refusal is not None:
            self._refuse(refusal, "refused by a fault that was asked for")
        elif not connect.client_id and connect.version == V311 and not connect.clean:
            self._refuse(Reason.CLIENT_ID_NOT_VALID, "a session without a client id")
        else:
            self._judge(connect, client_id)

    def _judge(self, connect: Connect, client_id: str) -> None:
        # Nothing of the session table is touched before the client is known to be allowed.
        admission = self._ask(client_id)
        self._asked = True
        self._denials = Denials(self._broker.trace, client_id, admission)
        version = "5" if connect.version == V5 else "3.1.1"
        verb = "connected" if admission.allowed else "was refused"
        self._broker.trace.add(
            "mqtt",
            "connected" if admission.allowed else "refused",
            f'"{client_id}" {verb} with MQTT {version}',
            denied=not admission.allowed,
            reason=admission.reason,
            client_id=client_id,
            job_id=admission.job_id,
            run_id=admission.run_id,
            **({"fix": admission.fix} if admission.fix else {}),
        )
        if admission.allowed:
            self._admit(connect, client_id, admission)
        else:
            self._refuse(Reason.NOT_AUTHORIZED, admission.reason)

    def _ask(self, client_id: str) -> MqttAdmission:
        transport = self._transport
        assert transport is not None  # noqa: S101 - a packet has come from it
        return self._broker.access.admit(
            client_id,
            transport.get_extra_info("sockname")[:2],
            transport.get_extra_info("peername")[:2],
            transport.get_extra_info("peercert"),
        )

    def _admit(self, connect: Connect, client_id: str, admission: MqttAdmission) -> None:
        if connect.will is not None:
            message = connect.will.message
            message.client_id = client_id
            message.job_id, message.run_id = admission.job_id, admission.run_id
            if admission.may_publish(message.topic):
                self._will = connect.will
            else:
                size = len(message.payload)
                self._denials.add("will on", message.topic, "allowedPublications", size)
        session, present = self._broker.sessions.open(connect, client_id, admission)
        self.packet_bytes: int | None = connect.packet_bytes
        self._session, self._admission = session, admission
        self._publisher = Publisher(self._broker, self, session, admission, self._denials)
        self._admitted = True
        self._accept(connect, client_id, present=present)
        session.attach(self, connect.receive_maximum)

    def _accept(self, connect: Connect, client_id: str, *, present: bool) -> None:
        self._apply_packet_limit()
        values: dict[str, Any] = {
            "MaximumPacketSize": self.limit,
            "TopicAliasMaximum": self._limits.topic_aliases,
            "SharedSubscriptionAvailable": 0,
        }
        if not connect.client_id:
            values["AssignedClientIdentifier"] = client_id
        if self._limits.receive_maximum < _UNLIMITED:
            values["ReceiveMaximum"] = self._limits.receive_maximum
        self.keep_alive(connect.keep_alive_seconds)
        self.send(encode_connack(self.version, Reason.SUCCESS, present=present, **values))

    def _refuse(self, reason: int, why: str) -> None:
        if reason:
            self.send(encode_connack(self.version, reason))
        self.end(Reason.SUCCESS, why)

    def _apply_packet_limit(self) -> None:
        limit = self._broker.faults.value("broker", "packet_limit")
        self.limit: int = self._limits.packet_bytes if limit is None else limit

    def _act(self, kind: int, first: int, data: bytes, start: int, end: int) -> None:
        action = self._actions.get(kind)
        if action is None:
            raise PacketError(f"a client must not send packet type {kind}", Reason.PROTOCOL_ERROR)
        if first & 0xF != (2 if kind in _FLAGGED else 0):
            raise PacketError(f"packet {first:#04x} has reserved flags")
        action(data, start, end)

    def _puback(self, data: bytes, start: int, end: int) -> None:
        packet_id, _ = self._reply(data, start, end)
        self._session.acknowledged(int.from_bytes(packet_id, "big"))

    def _pubrec(self, data: bytes, start: int, end: int) -> None:
        packet_id, reason = self._reply(data, start, end)
        number = int.from_bytes(packet_id, "big")
        if reason >= Reason.FAILURE:
            self._session.acknowledged(number)
            return
        known = self._session.received(number)
        answer = Reason.SUCCESS if known else Reason.PACKET_ID_NOT_FOUND
        self.send(encode_reply(PacketTypes.PUBREL, self.version, packet_id, answer))

    def _pubrel(self, data: bytes, start: int, end: int) -> None:
        packet_id, _ = self._reply(data, start, end)
        self._publisher.release(packet_id)

    def _reply(self, data: bytes, start: int, end: int) -> tuple[bytes, int]:
        reader = Reader(data, start, end)
        packet_id, reason = reader.take(2), 0
        if self.version == V5 and len(reader):
            reason = reader.byte()
            if len(reader):
                # All four acknowledgements have the same properties.
                read_properties(PacketTypes.PUBACK, reader.property_bytes())
        reader.finish()
        return packet_id, reason

    def _ping(self, data: bytes, start: int, end: int) -> None:
        Reader(data, start, end).finish()
        self.send(_PINGRESP)

    def _subscribe(self, data: bytes, start: int, end: int) -> None:
        packet_id, subscriptions = parse_subscribe(self.version, data, start, end)
        kept: dict[str, Subscription] = {}
        codes = [self._grant(wanted, kept) for wanted in subscriptions]
        self.send(encode_suback(self.version, packet_id, codes))
        for subscription in kept.values():
            self._broker.subscribe(self._session, subscription)

    def _grant(self, wanted: Subscription, kept: dict[str, Subscription]) -> int:
        """Return the code of a subscription; put it into *kept* when it is granted."""
        topic_filter = wanted.topic_filter
        if not is_topic_filter(topic_filter):
            return Reason.TOPIC_FILTER_INVALID if self.version == V5 else Reason.FAILURE
        if self.version == V5 and topic_filter.startswith(_SHARED):
            return Reason.SHARED_SUBSCRIPTION_NOT_SUPPORTED
        if not self._admission.may_subscribe(topic_filter):
            self._denials.add("subscription to", topic_filter, "allowedSubscriptions")
            visible = self._broker.deny_visibly and self.version == V5
            return Reason.NOT_AUTHORIZED if visible else wanted.qos
        kept[topic_filter] = wanted
        what = f'"{self._session.client_id}" subscribes to "{topic_filter}"'
        self._session.note("subscribed", what, "the topic is allowed", topic=topic_filter)
        return wanted.qos

    def _unsubscribe(self, data: bytes, start: int, end: int) -> None:
        packet_id, topic_filters = parse_unsubscribe(self.version, data, start, end)
        codes = [self._end_subscription(topic_filter) for topic_filter in topic_filters]
        self.send(encode_unsuback(self.version, packet_id, codes))

    def _end_subscription(self, topic_filter: str) -> int:
        if self._broker.subscriptions.remove(self._session, topic_filter):
            return Reason.SUCCESS
        # "No subscription found" would show a denial that was silent.
        if not self._broker.deny_visibly and not self._admission.may_subscribe(topic_filter):
            return Reason.SUCCESS
        return Reason.NO_SUBSCRIPTION_EXISTED

    def _disconnect(self, data: bytes, start: int, end: int) -> None:
        reader = Reader(data, start, end)
        reason = 0
        if self.version == V5 and len(reader):
            reason = reader.byte()
            if len(reader):
                self._change_expiry(reader)
        reader.finish()
        if reason == Reason.SUCCESS:
            self._will = None
        self.end(Reason.SUCCESS, f"the client disconnected with reason {reason:#04x}")

    def _change_expiry(self, reader: Reader) -> None:
        values = read_properties(PacketTypes.DISCONNECT, reader.property_bytes())
        expiry = values.get("SessionExpiryInterval", self._session.expiry_seconds)
        if expiry and not self._session.expiry_seconds:
            raise PacketError("a session that ended cannot be prolonged", Reason.PROTOCOL_ERROR)
        self._session.expiry_seconds = expiry


def encode_connack(version: int, reason: int, *, present: bool = False, **values: Any) -> bytes:
    """Return a CONNACK; *values* are MQTT 5 properties by paho's names, left out for 3.1.1."""
    if version < V5:
        code = _RETURN_CODES.get(reason, _UNAVAILABLE)
        return encode_packet(PacketTypes.CONNACK << 4, bytes((present, code)))
    properties = write_properties(PacketTypes.CONNACK, **values)
    return encode_packet(PacketTypes.CONNACK << 4, bytes((present, reason)), properties)


def encode_suback(version: int, packet_id: bytes, codes: Iterable[int]) -> bytes:
    """Return a SUBACK with one code for each filter."""
    properties = b"\0" if version == V5 else b""
    return encode_packet(PacketTypes.SUBACK << 4, packet_id, properties, bytes(codes))


def encode_unsuback(version: int, packet_id: bytes, codes: Iterable[int]) -> bytes:
    """Return an UNSUBACK; 3.1.1 knows no codes in it."""
    rest = b"\0" + bytes(codes) if version == V5 else b""
    return encode_packet(PacketTypes.UNSUBACK << 4, packet_id, rest)
