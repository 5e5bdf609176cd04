"""A listener accepts connections on one port; TLS comes before the first packet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from epm_task.simulator.broker.connection import Connection

if TYPE_CHECKING:
    import ssl

    from epm_task.simulator.broker.parts import Parts

#: How long the end of TLS may take after the end of a connection.
_SHUTDOWN_SECONDS: Final = 1.0
#: How long clients get to read their last packet when the broker stops.
_FAREWELL_SECONDS: Final = 1.0


class _Doorway(asyncio.Protocol):
    """A connection between accept and its first byte."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the transport over."""
        self._listener.let_in(cast("asyncio.Transport", transport))


class Listener:
    """The open port of a broker, with all its connections.

    Args:
        parts: What the connections share.
        ssl_context: TLS of the server; None for plain TCP.
    """

    def __init__(self, parts: Parts, ssl_context: ssl.SSLContext | None) -> None:
        """Open nothing yet."""
        self._parts: Final = parts
        self._ssl_context: Final = ssl_context
        self._server: asyncio.Server | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self._empty: asyncio.Future[None] | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            OSError: The port is taken, or the host is not this machine's.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Doorway(self), host, port, backlog=512)
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    def let_in(self, transport: asyncio.Transport) -> None:
        """Begin with a connection that was accepted."""
        connection = Connection(self._parts, self._forget)
        self._connections.add(connection)
        self._parts.waiting.enter(connection, transport.abort)
        if self._ssl_context is None:
            transport.set_protocol(connection)
            connection.connection_made(transport)
            return
        transport.pause_reading()
        task = asyncio.get_running_loop().create_task(
            self._secure(transport, connection, self._ssl_context)
        )
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _secure(
        self, transport: asyncio.Transport, connection: Connection, context: ssl.SSLContext
    ) -> None:
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                connection,
                context,
                server_side=True,
                ssl_handshake_timeout=self._parts.limits.connect_seconds,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )
        except OSError as error:
            transport.abort()
            connection.fail(f"no TLS: {error}")
            return
        except asyncio.CancelledError:
            transport.abort()
            connection.fail("the broker stops")
            raise
        if secured is None:
            connection.fail("no TLS: the client closed the connection")
            return
        connection.connection_made(secured)

    def drop_all(self) -> None:
        """Drop every connection without a word."""
        for task in list(self._handshakes):
            task.cancel()
        for connection in list(self._connections):
            connection.hang_up()

    async def close(self, reason: int, why: str) -> None:
        """Listen no more, end all connections, wait until they are gone."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._handshakes):
            task.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        for connection in list(self._connections):
            connection.end(reason, why)
        if not await self._emptied(_FAREWELL_SECONDS):
            self.drop_all()
            await self._emptied(_FAREWELL_SECONDS)

    async def _emptied(self, seconds: float) -> bool:
        if self._connections:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=seconds)
            self._empty = None
        return not self._connections

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._empty is not None and not self._connections and not self._empty.done():
            self._empty.set_result(None)
