"""A disturbance is a fault that the broker shows on purpose, for authors to test against."""

from __future__ import annotations

from typing import Protocol


class Disturbance(Protocol):
    """What the broker asks before it behaves well; asked anew each time, so it can change live."""

    def refuse(self) -> int | None:
        """Return the CONNACK reason code of a refusal, 0 to hang up without one, None to accept."""

    def silent(self) -> bool:
        """Return whether packets are read but neither carried nor answered."""

    def acknowledges(self) -> bool:
        """Return whether publications are acknowledged."""

    def drop_after(self) -> int | None:
        """Return after how many publications a connection is dropped without a word."""

    def packet_limit(self) -> int | None:
        """Return a maximum packet size in bytes that stands in for the broker's own."""


class Undisturbed:
    """The broker behaves well."""

    def refuse(self) -> int | None:
        """Accept."""
        return None

    def silent(self) -> bool:
        """Answer."""
        return False

    def acknowledges(self) -> bool:
        """Acknowledge."""
        return True

    def drop_after(self) -> int | None:
        """Never drop."""
        return None

    def packet_limit(self) -> int | None:
        """Keep the broker's own."""
        return None
