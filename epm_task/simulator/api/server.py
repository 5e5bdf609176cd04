"""The API server holds the HTTPS port and the HTTP port of one agent.

asyncio's own server accepts without a bound, and each TLS connection costs it 256 KiB at once:
2 000 clients that say nothing would take half a gigabyte.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from epm_task.simulator.api.answers import LIMITS, Limits
from epm_task.simulator.api.connection import Connection
from epm_task.simulator.api.gate import gate, hold
from epm_task.simulator.start_error import listen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from aiohttp.typedefs import Middleware

    from epm_task.simulator.faults.answers import ApiFaults
    from epm_task.simulator.processes.access import Access
    from epm_task.simulator.trace import Trace

    class Endpoints(Protocol):
        """A group of endpoints: plugin settings, jobs, public."""

        def add_routes(self, router: web.UrlDispatcher) -> None:
            """Add the endpoints of the group."""

    import socket
    from collections.abc import Callable

    from aiohttp.web import Request, Response


#: For answers that are being written when the agent stops.
_STOP_SECONDS: Final = 1.0

#: For the rest of a body that a refusal did not read.
_LINGER_SECONDS: Final = 2.0


class ApiServer:
    """The agent's API.

    Args:
        endpoints: The groups of endpoints.
        access: Decides who the callers are.
        trace: Gets one event for every request.
        context: The TLS side of the agent.
        host: Loopback address.
        port: HTTPS port; 0 is any free one.
        http_port: HTTP port; 0 is any free one, None is no such port.
        faults: Says which requests go wrong.
        limits: Bounds for what one client can take.
        middlewares: Further ones around each request, such as a recorder.
    """

    def __init__(  # noqa: PLR0913 - the parts of the agent, each by its name
        self,
        endpoints: Sequence[Endpoints],
        access: Access,
        trace: Trace,
        context: ssl.SSLContext,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        http_port: int | None = 0,
        faults: ApiFaults | None = None,
        limits: Limits | None = None,
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        self._host = host
        self._wanted = (port, http_port)
        self._context = context
        self._trace = trace
        self._limits = limits or Limits()
        self._app = web.Application(middlewares=[hold, *middlewares, gate(access, trace, faults)])
        self._app[LIMITS] = self._limits
        for group in endpoints:
            group.add_routes(self._app.router)
        self._runners: list[web.AppRunner] = []
        self._listeners: list[Listener] = []
        #: HTTPS port, known after `start`.
        self.port = port
        #: HTTP port, known after `start`; None when there is none.
        self.http_port = http_port

    @property
    def base_url(self) -> str:
        """What `{KeeperApiBaseUrl}` stands for."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self.port}"

    async def start(self) -> None:
        """Serve from now on.

        Raises:
            PortTaken: A port is in use; nothing is left open.
        """
        port, http_port = self._wanted
        try:
            self.port = await self._serve(self._app, port, context=self._context)
            if http_port is not None:
                self.http_port = await self._serve(redirect_app(self.base_url), http_port)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End every connection, after a moment for answers that are being written."""
        for listener in self._listeners:
            listener.close()
        for runner in self._runners:
            await runner.cleanup()
        for listener in self._listeners:
            await listener.abort()
        self._runners.clear()
        self._listeners.clear()

    async def _serve(
        self, app: web.Application, port: int, *, context: ssl.SSLContext | None = None
    ) -> int:
        runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=self._limits.idle_seconds,
            lingering_time=_LINGER_SECONDS,
            shutdown_timeout=_STOP_SECONDS,
        )
        self._runners.append(runner)
        await runner.setup()
        listener = Listener(
            listen(self._host, port),
            _protocols(runner),
            self._limits,
            context=context,
            on_refused=self._tls_refused,
        )
        self._listeners.append(listener)
        listener.start()
        return listener.port

    def _tls_refused(self, address: Any, reason: str) -> None:
        what = f"no TLS connection with {address[0]}:{address[1]}"
        self._trace.add("api", "refused", what, denied=True, reason=reason)


def _protocols(runner: web.AppRunner) -> web.Server:
    server = runner.server
    if server is None:
        raise RuntimeError("the runner was not set up")
    return server


#: Out of file descriptors: wait until some connections have ended.
_EXHAUSTED_SECONDS: Final = 0.1

#: A client that does not answer our TLS goodbye holds its buffers no longer than this.
_GOODBYE_SECONDS: Final = 1.0

_STOP_SECONDS_LISTENER: Final = 2.0


class Listener:
    """The connections of one port.

    Args:
        listening: The listening socket; the listener closes it.
        protocol: Makes the HTTP protocol of one connection.
        limits: The bounds.
        context: TLS; None is plain.
        on_refused: Called with the client's address and the reason when TLS did not come about.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        limits: Limits,
        *,
        context: ssl.SSLContext | None = None,
        on_refused: Callable[[Any, str], None] | None = None,
    ) -> None:
        self._socket = listening
        self._protocol = protocol
        self._limits = limits
        self._context = context
        self._on_refused = on_refused
        self._waiting: dict[asyncio.Task[None], None] = {}
        self._open: dict[Connection, None] = {}
        self._accepting: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port, also when any free one was asked for."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Accept connections from now on."""
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Accept no more connections; those that are open go on."""
        if self._accepting is not None:
            self._accepting.cancel()
        self._socket.close()

    async def abort(self) -> None:
        """End every connection, and return when they are gone."""
        self.close()
        tasks = [*self._waiting, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        async with asyncio.timeout(_STOP_SECONDS_LISTENER):
            for connection in connections:
                await connection.closed.wait()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._socket)
            except OSError:
                await asyncio.sleep(_EXHAUSTED_SECONDS)
                continue
            self._make_room()
            task = asyncio.create_task(self._connect(accepted, address))
            self._waiting[task] = None
            task.add_done_callback(functools.partial(self._settle, accepted))
            # Accepting does not yield while others queue up; those that were ended must get to end.
            await asyncio.sleep(0)

    def _settle(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._waiting.pop(task, None)
        # A task that was cancelled before its first step has given the socket to nobody.
        if task.cancelled():
            accepted.close()

    def _make_room(self) -> None:
        waiting = [task for task in self._waiting if not task.cancelling()]
        if len(waiting) + len(self._open) < self._limits.connections:
            return
        if waiting:
            waiting[0].cancel()
        elif idle := next((one for one in self._open if not one.busy), None):
            idle.abort()

    async def _connect(self, accepted: socket.socket, address: Any) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(self._protocol(), self._limits, self._open)
        try:
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake_seconds if self._context else None,
                ssl_shutdown_timeout=_GOODBYE_SECONDS if self._context else None,
            )
        except OSError as error:
            if self._on_refused is not None:
                self._on_refused(address, _reason(error))


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client certificate is not one of this agent's CA ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return error.strerror or str(error) or type(error).__name__


def redirect_app(base_url: str) -> web.Application:
    """Return the application of the HTTP port.

    Args:
        base_url: Where HTTPS is. The request's own `Host` does not count, as it may name any host.
    """

    async def redirect(request: Request) -> Response:
        # A target without a leading slash is a whole URL, or `*`.
        path = request.raw_path if request.raw_path.startswith("/") else "/"
        location = base_url + path
        return web.Response(status=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": location})

    app = web.Application(middlewares=[hold])
    app.router.add_route("*", "/{path:.*}", redirect)
    return app
