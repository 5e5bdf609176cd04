"""The limits bound what one client can take from the agent: time, memory, connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the HTTPS and the HTTP port.

    Attributes:
        handshake_seconds: For the TLS handshake.
        head_seconds: For the head of a request, from the connection or its first byte on.
        body_seconds: For the body of a request.
        idle_seconds: Between two requests (Kestrel's default is 130).
        write_seconds: For a client that does not read its answer.
        body_bytes: Of a request's body; more is 413.
        connections: At one time on one port; a new one ends the oldest that waits for a request.
    """

    handshake_seconds: float = 5.0
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    idle_seconds: float = 130.0
    write_seconds: float = 30.0
    body_bytes: int = 1024 * 1024
    connections: int = 256
