"""A limit bounds what clients can make the broker hold, so that no client can exhaust it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.trace import Trace


@dataclass(frozen=True, slots=True)
class Limits:
    """The broker's bounds, in the units that their names carry."""

    #: A longer packet closes its connection with 0x95.
    packet_bytes: int = 1_048_576
    #: A CONNECT comes before any admission; id, user, password and will can each have 64 KiB.
    connect_bytes: int = 262_144
    #: A connection that has not sent CONNECT by then is closed; its TLS handshake has as long.
    connect_seconds: float = 5.0
    #: A client that is told why its connection ends gets so long to read it.
    linger_seconds: float = 1.0
    #: Connections without CONNECT at one time; one more drops the oldest of them. Each costs
    #: asyncio's TLS about 0.7 MB, measured on Python 3.11.
    half_open: int = 128
    #: QoS 1 and 2 publications of one client that await the end of their exchange.
    receive_maximum: int = 65_535
    #: Topic aliases of one client.
    topic_aliases: int = 64
    #: Unacknowledged deliveries to one client, unless it asks for fewer.
    window: int = 1_000
    #: Messages that wait for one client; the oldest are dropped beyond it.
    queue_messages: int = 100_000
    #: Bytes of the payloads that wait for one client.
    queue_bytes: int = 32 * 1_048_576
    #: Subscriptions of one client.
    subscriptions: int = 1_000
    #: Sessions whose client is away; the longest absent ends first.
    absent_sessions: int = 1_000
    #: Retained messages.
    retained_messages: int = 10_000
    #: Bytes of their payloads.
    retained_bytes: int = 32 * 1_048_576
    #: Denials told one by one for each connection; the rest is summed up when it closes.
    told_denials: int = 100
    #: Topics of each connection whose first publication is told.
    told_topics: int = 100


class WaitingRoom:
    """Half-open connections, the oldest first.

    Args:
        places: One more connection than this drops the oldest.
        traces: Where dropped connections are told.
    """

    def __init__(self, places: int, traces: Trace) -> None:
        """Start empty."""
        self._places = places
        self._traces = traces
        self._waiting: dict[object, Callable[[], None]] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def enter(self, connection: object, abort: Callable[[], None]) -> None:
        """Let *connection* wait; *abort* drops it."""
        if len(self._waiting) >= self._places:
            oldest = next(iter(self._waiting))
            drop = self._waiting.pop(oldest)
            self._traces.add(
                "mqtt",
                "dropped",
                "a half-open connection was dropped",
                denied=True,
                reason=f"more than {self._places} connections have not sent CONNECT",
            )
            drop()
        self._waiting[connection] = abort

    def leave(self, connection: object) -> None:
        """Let *connection* go: it has sent CONNECT, or it is gone."""
        self._waiting.pop(connection, None)
