"""Take the publications of one client: carry them or drop them, acknowledge them, note denials."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from paho.mqtt.packettypes import PacketTypes

from epm_task.simulator.broker.message import Message
from epm_task.simulator.broker.packet import V5, PacketError, Reason, decode_text, encode_reply
from epm_task.simulator.broker.parse import is_topic_name, parse_publish

if TYPE_CHECKING:
    from epm_task.simulator.broker.connection import Connection
    from epm_task.simulator.broker.parse import Publish
    from epm_task.simulator.broker.session import Session
    from epm_task.simulator.broker.state import BrokerState
    from epm_task.simulator.processes.registry import MqttAdmission
    from epm_task.simulator.trace import Trace


#: Topics of one client whose first publication is noted in the trace.
_TOLD_TOPICS: Final = 100
#: Denials of one client that are noted one by one; the rest is summed up when it leaves.
_TOLD_DENIALS: Final = 100
#: Topics for which further denials are counted.
_UNTOLD_TOPICS: Final = 1_000
_EXACTLY_ONCE: Final = 2


class Publisher:
    """The publications of one admitted client."""

    def __init__(
        self,
        broker: BrokerState,
        connection: Connection,
        session: Session,
        admission: MqttAdmission,
        denials: Denials,
    ) -> None:
        self.count: int = 0  #: Publications that came in, carried or not.
        self._broker: Final = broker
        self._connection: Final = connection
        self._session: Final = session
        self._admission: Final = admission
        self._denials: Final = denials
        self._aliases: dict[int, bytes] = {}
        self._withheld = 0
        self._told: set[str] = set()

    def publish(self, first: int, data: bytes, start: int, end: int) -> None:
        """Take a PUBLISH: carry it or drop it, then acknowledge it.

        Raises:
            PacketError: It is malformed, or breaks a bound that the client was told.
        """
        packet = parse_publish(first, self._connection.version, data, start, end)
        topic, allowed = self._topic(packet)
        if packet.qos == _EXACTLY_ONCE:
            incoming = self._session.incoming
            if packet.packet_id in incoming:
                self._acknowledge(packet, Reason.SUCCESS)
                return
            self._check_open_exchanges(len(incoming) + 1)
        self.count += 1
        reason = Reason.SUCCESS
        if allowed:
            self._broker.publish(self._message(packet, topic))
        else:
            size = len(packet.payload)
            self._denials.add("publication on", topic, "allowedPublications", size)
            if self._broker.deny_visibly:
                reason = Reason.NOT_AUTHORIZED
        if packet.qos:
            self._acknowledge(packet, reason)

    def release(self, packet_id: bytes) -> None:
        """Take a PUBREL: the exchange of a QoS 2 publication is complete."""
        known = packet_id in self._session.incoming
        self._session.incoming.discard(packet_id)
        if not self._broker.faults.value("broker", "no_ack"):
            reason = Reason.SUCCESS if known else Reason.PACKET_ID_NOT_FOUND
            version = self._connection.version
            self._connection.send(encode_reply(PacketTypes.PUBCOMP, version, packet_id, reason))

    def _check_open_exchanges(self, count: int) -> None:
        if count > self._broker.limits.receive_maximum:
            raise PacketError("too many publications under way", Reason.RECEIVE_MAXIMUM_EXCEEDED)

    def _topic(self, packet: Publish) -> tuple[str, bool]:
        name = packet.topic
        if packet.publication.topic_alias is not None:
            name = self._resolve(packet.publication.topic_alias, name)
        topic = decode_text(name)
        if not is_topic_name(topic):
            raise PacketError("a topic is empty or holds a wildcard", Reason.TOPIC_NAME_INVALID)
        allowed = self._admission.may_publish(topic)
        if allowed and topic not in self._told and len(self._told) < _TOLD_TOPICS:
            self._told.add(topic)
            what = f'"{self._session.client_id}" publishes on "{topic}"'
            self._session.note("published", what, "the topic is allowed", topic=topic)
        return topic, allowed

    def _resolve(self, alias: int, name: bytes) -> bytes:
        if alias > self._broker.limits.topic_aliases:
            raise PacketError(f"topic alias {alias} is too great", Reason.TOPIC_ALIAS_INVALID)
        if name:
            self._aliases[alias] = name
            return name
        if alias not in self._aliases:
            raise PacketError(f"topic alias {alias} names no topic", Reason.PROTOCOL_ERROR)
        return self._aliases[alias]

    def _message(self, packet: Publish, topic: str) -> Message:
        publication, session = packet.publication, self._session
        expiry = publication.expiry_seconds
        return Message(
            topic,
            packet.payload,
            packet.qos,
            packet.retain,
            session.client_id,
            session.job_id,
            self._admission.run_id,
            publication.forwarded,
            None if expiry is None else monotonic() + expiry,
        )

    def _acknowledge(self, packet: Publish, reason: int) -> None:
        kind, version = PacketTypes.PUBACK, self._connection.version
        if packet.qos == _EXACTLY_ONCE:
            kind = PacketTypes.PUBREC
            # MQTT 3.1.1 cannot refuse, so its client releases what was not carried, too.
            if reason < Reason.FAILURE or version < V5:
                self._session.incoming.add(packet.packet_id)
        if not self._broker.faults.value("broker", "no_ack"):
            self._connection.send(encode_reply(kind, version, packet.packet_id, reason))
        elif packet.qos < _EXACTLY_ONCE:
            self._withheld += 1
            self._check_open_exchanges(self._withheld)


class Denials:
    """The denials of one client; *told* are noted one by one, the rest is summed up by topic.

    A task without `KeeperLogger` in its topics can be denied 100 000 times, which would push
    everything else out of the trace.
    """

    def __init__(
        self, trace: Trace, client_id: str, admission: MqttAdmission, told: int = _TOLD_DENIALS
    ) -> None:
        self._trace: Final = trace
        self._client_id: Final = client_id
        self._admission: Final = admission
        self._left = told
        self._untold: dict[tuple[str, str, str], int] = {}

    def add(self, what: str, topic: str, where: str, payload_bytes: int = 0) -> None:
        """Note that *what*, such as `publication on`, was denied: *where* does not list *topic*."""
        key = (what, topic, where)
        if self._left > 0:
            self._left -= 1
            self._tell(f'a {what} "{topic}" was dropped', topic, where, payload_bytes)
        elif key in self._untold or len(self._untold) < _UNTOLD_TOPICS:
            self._untold[key] = self._untold.get(key, 0) + 1

    def sum_up(self) -> None:
        """Note how many more there were."""
        for (what, topic, where), count in self._untold.items():
            told = f'{count} times more: a {what} "{topic}" was dropped'
            self._tell(told, topic, where, times=count)
        self._untold.clear()

    def _tell(
        self, what: str, topic: str, where: str, payload_bytes: int = 0, *, times: int = 1
    ) -> None:
        self._trace.add(
            "mqtt",
            "dropped",
            what,
            denied=True,
            reason=f"it is not in mqttTopics.{where} of job {self._admission.job_id}",
            fix=f'add "{topic}" to mqttTopics.{where}',
            topic=topic,
            listed=where,
            client_id=self._client_id,
            job_id=self._admission.job_id,
            run_id=self._admission.run_id,
            bytes=payload_bytes,
            times=times,
        )
