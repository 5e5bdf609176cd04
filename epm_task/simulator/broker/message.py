"""One publication on its way through the broker, and the bytes that its subscribers get."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from epm_task.simulator.broker.packet import V5, encode_length

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Property ids of section 2.2.2.2; these two differ between subscribers, so they are written here.
_EXPIRY_ID: Final = b"\x02"
_SUBSCRIPTION_ID: Final = b"\x0b"
_PUBLISH: Final = 0x30
_DUP: Final = 0x08


@dataclass(slots=True)
class Message:
    """One publication that was let through.

    Args:
        topic: Exact topic.
        payload: The bytes, unread.
        qos: 0, 1 or 2, as published.
        retain: Whether the publisher asked to retain it.
        client_id: Who published it, or whose will it is.
        job_id: The publisher's job; None for the admin certificate.
        run_id: The publisher's run, when the admission knows it.
        forwarded: The encoded MQTT 5 properties that go to subscribers.
        expires_at: Monotonic second after which it is not delivered; None for never.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    client_id: str = ""
    job_id: str | None = None
    run_id: str | None = None
    forwarded: bytes = b""
    expires_at: float | None = None
    _frames: dict[int, tuple[bytes, bytes]] = field(default_factory=dict, repr=False)

    def expired(self, now: float) -> bool:
        """Return whether nobody may get it any more at the monotonic second *now*."""
        return self.expires_at is not None and now >= self.expires_at

    def encode(self, version: int, qos: int, packet_id: int = 0) -> bytes:
        """Return the PUBLISH that most subscribers get; its bytes are made once for all of them."""
        key = version << 2 | qos
        frame = self._frames.get(key)
        if frame is None:
            properties = b""
            if version == V5:
                properties = encode_length(len(self.forwarded)) + self.forwarded
            frame = self._frames[key] = self._around_id(_PUBLISH | qos << 1, properties)
        if qos:
            return b"%b%b%b" % (frame[0], packet_id.to_bytes(2, "big"), frame[1])
        return frame[0] + frame[1]

    def encode_specially(  # noqa: PLR0913 - the fields of the packet
        self,
        version: int,
        qos: int,
        packet_id: int,
        *,
        retain: bool,
        again: bool,
        subscription_ids: Sequence[int],
        now: float,
    ) -> bytes:
        """Return the PUBLISH for one subscriber: retained, repeated, expiring or identified."""
        properties = b""
        if version == V5:
            properties = self.forwarded
            if self.expires_at is not None:
                left = max(0, round(self.expires_at - now))
                properties += _EXPIRY_ID + struct.pack("!L", left)
            for number in subscription_ids:
                properties += _SUBSCRIPTION_ID + encode_length(number)
            properties = encode_length(len(properties)) + properties
        first = _PUBLISH | qos << 1 | retain | (_DUP if again and qos else 0)
        head, tail = self._around_id(first, properties)
        return head + (packet_id.to_bytes(2, "big") if qos else b"") + tail

    def _around_id(self, first: int, properties: bytes) -> tuple[bytes, bytes]:
        """Return what comes before the packet id, and what comes behind it."""
        topic = self.topic.encode()
        tail = properties + self.payload
        length = 2 + len(topic) + len(tail) + (2 if first & 6 else 0)
        head = bytes((first,)) + encode_length(length) + len(topic).to_bytes(2, "big") + topic
        return head, tail
