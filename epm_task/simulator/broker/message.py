"""One publication on its way through the broker, and the bytes that its subscribers get."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from epm_task.simulator.broker.packet import V5, encode_length, encode_packet

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Property ids of section 2.2.2.2; these two differ between subscribers, so they are written here.
_EXPIRY_ID: Final = b"\x02"
_SUBSCRIPTION_ID: Final = b"\x0b"
_PUBLISH: Final = 0x30
_DUP: Final = 0x08


@dataclass(slots=True)
class Message:
    """One publication that was let through."""

    topic: str  #: Exact topic.
    payload: bytes
    qos: int = 0  #: As published.
    retain: bool = False  #: Whether the publisher asked to retain it.
    client_id: str = ""  #: Who published it, or whose will it is.
    job_id: str | None = None  #: The publisher's job; None for the admin certificate.
    run_id: str | None = None  #: The publisher's run, when the admission knows it.
    forwarded: bytes = b""  #: The encoded MQTT 5 properties that go to subscribers.
    expires_at: float | None = None  #: Monotonic second after which it is not delivered.

    def expired(self, now: float) -> bool:
        """Return whether nobody may get it any more at the monotonic second *now*."""
        return self.expires_at is not None and now >= self.expires_at

    def encode(  # noqa: PLR0913 - the fields of the packet
        self,
        version: int,
        qos: int,
        packet_id: int = 0,
        *,
        retain: bool = False,
        again: bool = False,
        subscription_ids: Sequence[int] = (),
    ) -> bytes:
        """Return the PUBLISH for one subscriber; *again* when it was sent before."""
        topic = self.topic.encode()
        number = packet_id.to_bytes(2, "big") if qos else b""
        first = _PUBLISH | qos << 1 | retain | (_DUP if again and qos else 0)
        properties = b""
        if version == V5:
            properties = self.forwarded
            if self.expires_at is not None:
                left = max(0, round(self.expires_at - monotonic()))
                properties += _EXPIRY_ID + struct.pack("!L", left)
            for identifier in subscription_ids:
                properties += _SUBSCRIPTION_ID + encode_length(identifier)
            properties = encode_length(len(properties)) + properties
        length = len(topic).to_bytes(2, "big")
        return encode_packet(first, length, topic, number, properties, self.payload)
