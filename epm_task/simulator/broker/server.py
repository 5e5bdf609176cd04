"""The broker is the agent's MQTT server: 3.1.1 and 5, silent about what it denies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from epm_task.simulator.broker import reason as reasons
from epm_task.simulator.broker.connection import Connection
from epm_task.simulator.broker.context import Parts
from epm_task.simulator.broker.exchange import Exchange
from epm_task.simulator.broker.limits import Limits, WaitingRoom
from epm_task.simulator.broker.sessions import PendingWills, SessionTable
from epm_task.simulator.faults.faults import Faults

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from epm_task.simulator.broker.admission import Admits
    from epm_task.simulator.broker.message import Message
    from epm_task.simulator.trace import Trace


class Broker:
    """An MQTT server that asks about every connection, publication, subscription.

    All methods belong to the thread of the event loop in which `start` was awaited.

    Args:
        access: Asked once for each CONNECT, before any session is touched.
        trace: Gets every decision, above all the denials that clients do not see.
        ssl_context: TLS of the server; None for plain TCP.
        host: Address to listen on.
        port: 0 for any free one.
        deny_visibly: Answer denials with 0x87 where MQTT 5 has room for it.
        on_message: Called with every message that was let through, in the order of arrival.
        limits: Bounds against hostile or slow clients.
        faults: What the broker does wrong on purpose.
    """

    def __init__(  # noqa: PLR0913 - keywords only, each with a default
        self,
        access: Admits,
        trace: Trace,
        *,
        ssl_context: ssl.SSLContext | None,
        host: str = "127.0.0.1",
        port: int = 0,
        deny_visibly: bool = False,
        on_message: Callable[[Message], None] | None = None,
        limits: Limits | None = None,
        faults: Faults | None = None,
    ) -> None:
        """Assemble the parts; nothing listens yet."""
        limits = limits or Limits()
        self.host: Final = host
        #: The port that is listened on; the wanted one before `start`.
        self.port = port
        self._exchange: Final = Exchange(limits, trace, on_message)
        wills = PendingWills(self._exchange.publish_apart)
        self._sessions: Final = SessionTable(limits, trace, self._exchange.subscriptions, wills)
        self._listener: Final = Listener(
            Parts(
                access=access,
                traces=trace,
                limits=limits,
                faults=faults or Faults(),
                deny_visibly=deny_visibly,
                exchange=self._exchange,
                wills=wills,
                sessions=self._sessions,
                waiting=WaitingRoom(limits.half_open, trace),
            ),
            ssl_context,
        )

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self.port = await self._listener.open(self.host, self.port)

    async def stop(self) -> None:
        """Tell the clients, close all connections, forget sessions and retained messages."""
        await self._listener.close(reasons.SERVER_SHUTTING_DOWN, "the broker stops")
        self._sessions.clear()
        self._exchange.retained.clear()

    async def go_down(self) -> None:
        """Refuse connections, as a broker that was killed; sessions survive until `stop`."""
        self._listener.drop_all()
        await self._listener.close(reasons.SUCCESS, "the broker is down")

    async def restart(self, *, keep_sessions: bool = True) -> None:
        """Drop all connections, then listen on the same port again."""
        await self.go_down()
        if not keep_sessions:
            self._sessions.clear()
            self._exchange.retained.clear()
        await self.start()

    def drop_all(self) -> None:
        """Drop every connection without a word; clients may come back at once."""
        self._listener.drop_all()
        self._exchange.flush()

    def publish(self, message: Message) -> None:
        """Carry a message of the agent itself."""
        self._exchange.publish_apart(message)


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
