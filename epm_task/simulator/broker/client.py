"""A client is who was admitted on a connection; each of its packets has one meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker import reason as reasons
from epm_task.simulator.broker.packet import V5, Reader, encode_packet, encode_reply
from epm_task.simulator.broker.properties import values_of
from epm_task.simulator.broker.publisher import Publisher
from epm_task.simulator.broker.reason import PacketError
from epm_task.simulator.broker.subscribe import (
    Subscription,
    encode_suback,
    encode_unsuback,
    is_shared,
    is_topic_filter,
    parse_subscribe,
    parse_unsubscribe,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.broker.admission import Admission
    from epm_task.simulator.broker.context import Parts
    from epm_task.simulator.broker.publisher import Denials
    from epm_task.simulator.broker.session import Link, Session
    from epm_task.simulator.broker.sessions import Will

_FAILURE: Final = 0x80
#: These three carry the flags 2, all others but PUBLISH 0 (section 2.1.3 of MQTT 5).
_FLAGGED: Final = frozenset((PacketTypes.PUBREL, PacketTypes.SUBSCRIBE, PacketTypes.UNSUBSCRIBE))
_PINGRESP: Final = encode_packet(PacketTypes.PINGRESP << 4)


class Client:
    """One admitted client on its connection."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a client consists of
        self,
        parts: Parts,
        link: Link,
        session: Session,
        admission: Admission,
        denials: Denials,
        will: Will | None,
    ) -> None:
        """Start to listen."""
        self.session: Final = session
        #: Left behind when the connection breaks; None after an orderly DISCONNECT.
        self.will = will
        self.publisher: Final = Publisher(parts, link, session, admission, denials)
        self._parts: Final = parts
        self._link: Final = link
        self._admission: Final = admission
        self._denials: Final = denials
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
        """Take one packet.

        Raises:
            PacketError: The packet ends the connection.
        """
        kind = first >> 4
        if kind == PacketTypes.PUBLISH:
            self.publisher.publish(first, data, start, end)
            return
        action = self._actions.get(kind)
        if action is None:
            raise PacketError(reasons.PROTOCOL_ERROR, f"a client must not send packet type {kind}")
        if first & 0xF != (2 if kind in _FLAGGED else 0):
            raise PacketError(reasons.MALFORMED_PACKET, f"packet {first:#04x} has reserved flags")
        action(data, start, end)

    def _puback(self, data: bytes, start: int, end: int) -> None:
        packet_id, _ = self._reply(data, start, end)
        self.session.acknowledged(int.from_bytes(packet_id, "big"))

    def _pubrec(self, data: bytes, start: int, end: int) -> None:
        packet_id, reason = self._reply(data, start, end)
        number = int.from_bytes(packet_id, "big")
        if reason >= _FAILURE:
            self.session.acknowledged(number)
            return
        known = self.session.received(number)
        answer = reasons.SUCCESS if known else reasons.PACKET_ID_NOT_FOUND
        self._link.send(encode_reply(PacketTypes.PUBREL, self._link.version, packet_id, answer))

    def _pubrel(self, data: bytes, start: int, end: int) -> None:
        packet_id, _ = self._reply(data, start, end)
        self.publisher.release(packet_id)

    def _reply(self, data: bytes, start: int, end: int) -> tuple[bytes, int]:
        reader = Reader(data, start, end)
        packet_id, reason = reader.take(2), reasons.SUCCESS
        if self._link.version == V5 and len(reader):
            reason = reader.byte()
            if len(reader):
                # All four acknowledgements have the same properties.
                reader.properties(PacketTypes.PUBACK)
        reader.finish()
        return packet_id, reason

    def _ping(self, data: bytes, start: int, end: int) -> None:
        Reader(data, start, end).finish()
        self._link.send(_PINGRESP)

    def _subscribe(self, data: bytes, start: int, end: int) -> None:
        packet = parse_subscribe(self._link.version, data, start, end)
        kept: dict[str, Subscription] = {}
        codes = [self._judge(wanted, kept) for wanted in packet.subscriptions]
        self._link.send(encode_suback(self._link.version, packet.packet_id, codes))
        for subscription in kept.values():
            self._parts.exchange.subscribe(self.session, subscription)

    def _judge(self, wanted: Subscription, kept: dict[str, Subscription]) -> int:
        """Return the code of a subscription; put it into *kept* when it is granted."""
        topic_filter, version = wanted.topic_filter, self._link.version
        if not is_topic_filter(topic_filter):
            return reasons.TOPIC_FILTER_INVALID if version == V5 else _FAILURE
        if version == V5 and is_shared(topic_filter):
            return reasons.SHARED_SUBSCRIPTION_NOT_SUPPORTED
        if not self._admission.may_subscribe(topic_filter):
            self._denials.subscription(topic_filter)
            visible = self._parts.deny_visibly and version == V5
            return reasons.NOT_AUTHORIZED if visible else wanted.qos
        held = self.session.subscriptions
        new = topic_filter not in held and topic_filter not in kept
        if new and len(held) + len(kept) >= self._parts.limits.subscriptions:
            self._denials.one_subscription_too_many(topic_filter)
            return reasons.QUOTA_EXCEEDED if version == V5 else _FAILURE
        kept[topic_filter] = wanted
        self._parts.traces.add(
            "mqtt",
            "subscribed",
            f'"{self.session.client_id}" subscribes to "{topic_filter}"',
            reason="the topic is allowed",
            topic=topic_filter,
            client_id=self.session.client_id,
            job_id=self.session.job_id,
        )
        return wanted.qos

    def _unsubscribe(self, data: bytes, start: int, end: int) -> None:
        packet = parse_unsubscribe(self._link.version, data, start, end)
        codes = [self._end_subscription(topic_filter) for topic_filter in packet.topic_filters]
        self._link.send(encode_unsuback(self._link.version, packet.packet_id, codes))

    def _end_subscription(self, topic_filter: str) -> int:
        if self._parts.exchange.subscriptions.remove(self.session, topic_filter):
            return reasons.SUCCESS
        # "No subscription found" would show a denial that was silent.
        if not self._parts.deny_visibly and not self._admission.may_subscribe(topic_filter):
            return reasons.SUCCESS
        return reasons.NO_SUBSCRIPTION_EXISTED

    def _disconnect(self, data: bytes, start: int, end: int) -> None:
        reader = Reader(data, start, end)
        reason = reasons.SUCCESS
        if self._link.version == V5 and len(reader):
            reason = reader.byte()
            if len(reader):
                self._change_expiry(reader)
        reader.finish()
        if reason == reasons.SUCCESS:
            self.will = None
        self._link.end(reasons.SUCCESS, f"the client disconnected with reason {reason:#04x}")

    def _change_expiry(self, reader: Reader) -> None:
        values = values_of(reader.properties(PacketTypes.DISCONNECT))
        expiry = values.get("SessionExpiryInterval", self.session.expiry_seconds)
        if expiry and not self.session.expiry_seconds:
            raise PacketError(reasons.PROTOCOL_ERROR, "a session that ended cannot be prolonged")
        self.session.expiry_seconds = expiry
