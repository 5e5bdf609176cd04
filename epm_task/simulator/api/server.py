"""The API server holds the HTTPS port and the HTTP port of one agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from epm_task.simulator.api.body import LIMITS
from epm_task.simulator.api.gate import gate, hold
from epm_task.simulator.api.limits import Limits
from epm_task.simulator.api.listener import Listener
from epm_task.simulator.api.redirect import redirect_app
from epm_task.simulator.listening_socket import listen

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from typing import Any, Protocol

    from aiohttp.typedefs import Middleware

    from epm_task.simulator.access import Access
    from epm_task.simulator.api.fault_answers import ApiFaults
    from epm_task.simulator.trace import Trace

    class Endpoints(Protocol):
        """A group of endpoints: plugin settings, jobs, public."""

        def add_routes(self, router: web.UrlDispatcher) -> None:
            """Add the endpoints of the group."""


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
        self._trace.add("api", what, denied=True, reason=reason)


def _protocols(runner: web.AppRunner) -> web.Server:
    server = runner.server
    if server is None:
        raise RuntimeError("the runner was not set up")
    return server
