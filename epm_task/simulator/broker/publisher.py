"""A publisher is one client in its part of sending messages to the broker."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker import reason as reasons
from epm_task.simulator.broker.disturbance import Undisturbed
from epm_task.simulator.broker.message import Message
from epm_task.simulator.broker.packet import V5, decode_text, encode_reply
from epm_task.simulator.broker.packet_error import PacketError
from epm_task.simulator.broker.publish import Publish, parse_publish
from epm_task.simulator.broker.topic_filter import is_topic_name

if TYPE_CHECKING:
    from epm_task.simulator.broker.admission import Admission
    from epm_task.simulator.broker.denials import Denials
    from epm_task.simulator.broker.parts import Parts
    from epm_task.simulator.broker.session import Link, Session

#: Topics of one client whose permission is remembered.
_REMEMBERED: Final = 1_000
_EXACTLY_ONCE: Final = 2
_FAILURE: Final = 0x80


class Publisher:
    """The publications of one admitted client."""

    def __init__(
        self, parts: Parts, link: Link, session: Session, admission: Admission, denials: Denials
    ) -> None:
        """Start with no publication."""
        #: Publications that came in, carried or not.
        self.count = 0
        self._parts: Final = parts
        self._link: Final = link
        self._session: Final = session
        self._admission: Final = admission
        self._run_id: Final = admission.run_id
        self._denials: Final = denials
        self._disturbed: Final = not isinstance(parts.disturbance, Undisturbed)
        self._known: dict[bytes, tuple[str, bool]] = {}
        self._aliases: dict[int, bytes] = {}
        self._withheld = 0
        self._told = 0

    def publish(self, first: int, data: bytes, start: int, end: int) -> None:
        """Take a PUBLISH: carry it or drop it, then acknowledge it.

        Raises:
            PacketError: It is malformed, or breaks a bound that the client was told.
        """
        packet = parse_publish(first, self._link.version, data, start, end)
        topic, allowed = self._topic(packet)
        qos = packet.qos
        if qos == _EXACTLY_ONCE and not self._is_first(packet.packet_id):
            self._acknowledge(packet, reasons.SUCCESS)
            return
        self.count += 1
        reason = reasons.SUCCESS
        if allowed:
            reason = self._parts.exchange.publish(self._message(packet, topic))
        else:
            self._denials.publication(topic, len(packet.payload))
            if self._parts.deny_visibly:
                reason = reasons.NOT_AUTHORIZED
        if qos:
            self._acknowledge(packet, reason)

    def release(self, packet_id: bytes) -> None:
        """Take a PUBREL: the exchange of a QoS 2 publication is complete."""
        known = packet_id in self._session.incoming
        self._session.incoming.discard(packet_id)
        if not self._disturbed or self._parts.disturbance.acknowledges():
            reason = reasons.SUCCESS if known else reasons.PACKET_ID_NOT_FOUND
            self._link.send(
                encode_reply(PacketTypes.PUBCOMP, self._link.version, packet_id, reason)
            )

    def _is_first(self, packet_id: bytes) -> bool:
        incoming = self._session.incoming
        if packet_id in incoming:
            return False
        if len(incoming) >= self._parts.limits.receive_maximum:
            raise PacketError(reasons.RECEIVE_MAXIMUM_EXCEEDED, "too many publications under way")
        return True

    def _topic(self, packet: Publish) -> tuple[str, bool]:
        name = packet.topic
        if packet.publication is not None and packet.publication.topic_alias is not None:
            name = self._resolve(packet.publication.topic_alias, name)
        return self._known.get(name) or self._learn(name)

    def _resolve(self, alias: int, name: bytes) -> bytes:
        if alias > self._parts.limits.topic_aliases:
            raise PacketError(reasons.TOPIC_ALIAS_INVALID, f"topic alias {alias} is too great")
        if name:
            self._aliases[alias] = name
            return name
        if alias not in self._aliases:
            raise PacketError(reasons.PROTOCOL_ERROR, f"topic alias {alias} names no topic")
        return self._aliases[alias]

    def _learn(self, name: bytes) -> tuple[str, bool]:
        topic = decode_text(name)
        if not is_topic_name(topic):
            raise PacketError(reasons.TOPIC_NAME_INVALID, "a topic is empty or holds a wildcard")
        allowed = self._admission.may_publish(topic)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[name] = (topic, allowed)
        if allowed and self._told < self._parts.limits.told_topics:
            self._told += 1
            session = self._session
            self._parts.traces.add(
                "mqtt",
                f'"{session.client_id}" publishes on "{topic}"',
                reason="the topic is allowed",
                topic=topic,
                client_id=session.client_id,
                job_id=session.job_id,
            )
        return topic, allowed

    def _message(self, packet: Publish, topic: str) -> Message:
        session = self._session
        message = Message(
            topic,
            packet.payload,
            packet.qos,
            packet.retain,
            session.client_id,
            session.job_id,
            self._run_id,
        )
        publication = packet.publication
        if publication is not None:
            message.properties = publication.properties
            message.forwarded = publication.forwarded
            if publication.expiry_seconds is not None:
                message.expires_at = monotonic() + publication.expiry_seconds
        return message

    def _acknowledge(self, packet: Publish, reason: int) -> None:
        kind = PacketTypes.PUBACK
        if packet.qos == _EXACTLY_ONCE:
            kind = PacketTypes.PUBREC
            # MQTT 3.1.1 cannot refuse, so its client releases what was not carried, too.
            if reason < _FAILURE or self._link.version < V5:
                self._session.incoming.add(packet.packet_id)
        if self._disturbed and not self._parts.disturbance.acknowledges():
            self._withhold(packet.qos)
            return
        self._link.send(encode_reply(kind, self._link.version, packet.packet_id, reason))

    def _withhold(self, qos: int) -> None:
        self._withheld += qos < _EXACTLY_ONCE
        if self._withheld > self._parts.limits.receive_maximum:
            raise PacketError(reasons.RECEIVE_MAXIMUM_EXCEEDED, "too many publications under way")
