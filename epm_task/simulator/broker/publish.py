"""A PUBLISH is a publication on the wire, before the broker has decided about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.simulator.broker.packet import V5, Reader
from epm_task.simulator.broker.packet_error import PacketError
from epm_task.simulator.broker.properties import read_publication
from epm_task.simulator.broker.reason import MALFORMED_PACKET, PROTOCOL_ERROR

if TYPE_CHECKING:
    from epm_task.simulator.broker.properties import Publication

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
