"""A connection is the guard between one client's transport and the HTTP protocol behind it.

aiohttp bounds neither the time that a head may take nor the time that an answer waits to be read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from epm_task.simulator.api.answers import Limits


class Connection(asyncio.Protocol):
    """One client, which is ended when it is too slow.

    Args:
        inner: The HTTP protocol, which gets everything.
        limits: The bounds.
        registry: Holds the connection from when TLS is done until the transport is gone.

    Attributes:
        busy: Whether a request is being handled, so that the connection must not be ended.
        closed: Set when the transport is gone.
    """

    def __init__(
        self, inner: asyncio.Protocol, limits: Limits, registry: dict[Connection, None]
    ) -> None:
        self.busy = False
        self.closed = asyncio.Event()
        self._inner = inner
        self._limits = limits
        self._registry = registry
        self._transport: asyncio.Transport | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def request_begun(self) -> None:
        """Note that a request's head is complete."""
        self.busy = True
        self._stop_head_timer()

    def request_ended(self) -> None:
        """Note that the request has its answer."""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to wait for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._registry[self] = None
        self._await_head()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass the bytes on; the first of a request start its time."""
        if not self.busy and self._head_timer is None:
            self._await_head()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the end of the client's bytes on."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Give the client some time to read."""
        self._write_timer = self._abort_after(self._limits.write_seconds)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self._stop_write_timer()
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything, as a pending timer would keep the TLS buffers alive."""
        self._stop_head_timer()
        self._stop_write_timer()
        self._inner.connection_lost(exc)
        self._transport = None
        self._registry.pop(self, None)
        self.closed.set()

    def _await_head(self) -> None:
        self._head_timer = self._abort_after(self._limits.head_seconds)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _abort_after(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self.abort)


def connection_of(transport: Any) -> Connection | None:
    """Return the guard of a request's transport; None when the client has gone."""
    protocol = transport.get_protocol() if transport is not None else None
    return protocol if isinstance(protocol, Connection) else None
