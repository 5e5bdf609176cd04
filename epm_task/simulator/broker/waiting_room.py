"""The waiting room holds the connections that have not sent CONNECT yet, bounded in number."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.broker.admission import Traces


class WaitingRoom:
    """Half-open connections, the oldest first.

    Args:
        places: One more connection than this drops the oldest.
        traces: Where dropped connections are told.
    """

    def __init__(self, places: int, traces: Traces) -> None:
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
                "a half-open connection was dropped",
                denied=True,
                reason=f"more than {self._places} connections have not sent CONNECT",
            )
            drop()
        self._waiting[connection] = abort

    def leave(self, connection: object) -> None:
        """Let *connection* go: it has sent CONNECT, or it is gone."""
        self._waiting.pop(connection, None)
