"""A packet error is the one exception that ends a connection because of what its client sent."""

from __future__ import annotations

from typing import Final


class PacketError(Exception):
    """A packet that ends its connection.

    Args:
        reason: MQTT 5 reason code.
        why: One clause for the trace.
    """

    def __init__(self, reason: int, why: str) -> None:
        """Keep the code beside the text."""
        super().__init__(why)
        self.reason: Final = reason
        self.why: Final = why
