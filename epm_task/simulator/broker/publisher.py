"""A publisher is one client in its part of sending messages to the broker."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker import reason as reasons
from epm_task.simulator.broker.message import Message
from epm_task.simulator.broker.packet import V5, Reader, decode_text, encode_reply
from epm_task.simulator.broker.properties import read_publication
from epm_task.simulator.broker.reason import MALFORMED_PACKET, PROTOCOL_ERROR, PacketError
from epm_task.simulator.broker.subscribe import is_topic_name

if TYPE_CHECKING:
    from epm_task.simulator.broker.admission import Admission
    from epm_task.simulator.broker.context import Parts
    from epm_task.simulator.broker.properties import Publication
    from epm_task.simulator.broker.session import Link, Session
    from epm_task.simulator.trace import Trace


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
        if self._parts.faults.acknowledges():
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
                "published",
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
        if not self._parts.faults.acknowledges():
            self._withhold(packet.qos)
            return
        self._link.send(encode_reply(kind, self._link.version, packet.packet_id, reason))

    def _withhold(self, qos: int) -> None:
        self._withheld += qos < _EXACTLY_ONCE
        if self._withheld > self._parts.limits.receive_maximum:
            raise PacketError(reasons.RECEIVE_MAXIMUM_EXCEEDED, "too many publications under way")


_QOS_MASK: Final = 3
_DUP: Final = 0x08


class Publish(NamedTuple):
    """The fields of a PUBLISH; the topic is not decoded yet, the packet id is empty for QoS 0."""

    topic: bytes
    qos: int
    retain: bool
    packet_id: bytes
    publication: Publication | None
    payload: bytes


def parse_publish(first: int, version: int, data: bytes, start: int, end: int) -> Publish:
    """Return the PUBLISH with the flags in *first* and its body between *start* and *end*.

    Raises:
        PacketError: It is malformed.
    """
    qos = first >> 1 & _QOS_MASK
    if qos == _QOS_MASK or (not qos and first & _DUP):
        raise PacketError(MALFORMED_PACKET, f"PUBLISH flags {first & 0xF:#x} contradict themselves")
    # This is the path of every record, so it counts bytes itself instead of asking a Reader.
    if end - start < 2:
        raise PacketError(MALFORMED_PACKET, "a PUBLISH without a topic")
    at = start + 2 + (data[start] << 8 | data[start + 1])
    topic = data[start + 2 : at]
    packet_id = b""
    if qos:
        packet_id = data[at : at + 2]
        at += 2
        if packet_id == b"\0\0":
            raise PacketError(PROTOCOL_ERROR, "packet identifier 0")
    publication = None
    if version == V5 and at < end:
        if data[at]:
            reader = Reader(data, at, end)
            publication = read_publication(reader.property_bytes())
            at = end - len(reader)
        else:
            at += 1
    elif version == V5:
        at = end + 1
    if at > end:
        raise PacketError(MALFORMED_PACKET, "a PUBLISH ends before its fields do")
    return Publish(topic, qos, bool(first & 1), packet_id, publication, data[at:end])


#: Topics for which further denials are counted.
_UNTOLD_TOPICS: Final = 1_000


class Denials:
    """The denials of one client.

    A task without `KeeperLogger` in its topics can be denied 100 000 times; told one by one, they
    would push everything else out of the trace.

    Args:
        traces: Where they are told.
        client_id: Whose they are.
        job_id: The client's job.
        told: So many are told one by one; the rest is summed up by topic.
    """

    def __init__(self, traces: Trace, client_id: str, job_id: str | None, told: int) -> None:
        """Start without any."""
        self._traces: Final = traces
        self._client_id: Final = client_id
        self._job_id: Final = job_id
        self._left = told
        self._untold: dict[tuple[str, str, str], int] = {}

    def publication(self, topic: str, payload_bytes: int) -> None:
        """A publication was denied."""
        self._deny("publication on", topic, self._missing("Publications"), payload_bytes)

    def subscription(self, topic_filter: str) -> None:
        """A subscription was denied."""
        self._deny("subscription to", topic_filter, self._missing("Subscriptions"))

    def one_subscription_too_many(self, topic_filter: str) -> None:
        """A subscription was refused for its number."""
        self._deny("subscription to", topic_filter, "the client has too many subscriptions")

    def will(self, topic: str, payload_bytes: int) -> None:
        """A will was denied."""
        self._deny("will on", topic, self._missing("Publications"), payload_bytes)

    def sum_up(self) -> None:
        """Tell how many more there were."""
        for (what, topic, reason), count in self._untold.items():
            self._tell(f'{count} times more: a {what} "{topic}" was dropped', topic, reason, 0)
        self._untold.clear()

    def _missing(self, where: str) -> str:
        return f"it does not stand in mqttTopics.allowed{where} of job {self._job_id}"

    def _deny(self, what: str, topic: str, reason: str, payload_bytes: int = 0) -> None:
        key = (what, topic, reason)
        if self._left > 0:
            self._left -= 1
            self._tell(f'a {what} "{topic}" was dropped', topic, reason, payload_bytes)
        elif key in self._untold or len(self._untold) < _UNTOLD_TOPICS:
            self._untold[key] = self._untold.get(key, 0) + 1

    def _tell(self, what: str, topic: str, reason: str, payload_bytes: int) -> None:
        self._traces.add(
            "mqtt",
            "dropped",
            what,
            denied=True,
            reason=reason,
            topic=topic,
            client_id=self._client_id,
            job_id=self._job_id,
            bytes=payload_bytes,
        )
