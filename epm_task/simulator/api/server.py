"""Serve the local API on the agent's HTTPS port, and send the HTTP port's callers there.

Most of it is aiohttp's. This is a tool on its user's machine: it does not defend itself against
floods of connections or clients that are slow on purpose.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from epm_task.simulator.api.gate import gate
from epm_task.simulator.listener import Listener
from epm_task.simulator.start_error import listen

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from aiohttp.typedefs import Middleware
    from aiohttp.web import Request, Response

    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.processes.registry import Access
    from epm_task.simulator.trace import Trace

#: Of a request's body; more is 413.
_BODY_BYTES: Final = 1024 * 1024

#: For answers that are being written when the agent stops.
_STOP_SECONDS: Final = 1.0


class ApiServer:
    """The agent's API; port 0 is any free one, *middlewares* are put around each request."""

    def __init__(  # noqa: PLR0913 - what the agent has, each by its name
        self,
        endpoints: Sequence[web.AbstractRouteDef],
        access: Access,
        trace: Trace,
        context: ssl.SSLContext,
        *,
        faults: Faults,
        host: str = "127.0.0.1",
        port: int = 0,
        http_port: int | None = 0,
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        self._host = host
        self._context = context
        self._trace = trace
        self._logger = traced_logger(trace)
        self._app = web.Application(
            middlewares=[*middlewares, gate(access, trace, faults)], client_max_size=_BODY_BYTES
        )
        self._app.add_routes(endpoints)
        self._serving: list[tuple[Listener, web.AppRunner]] = []
        self.port: int = port  #: HTTPS port; the wanted one before `start`.
        self.http_port = http_port  #: HTTP port; None for none at all.

    @property
    def base_url(self) -> str:
        """The value of `{KeeperApiBaseUrl}`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self.port}"

    async def start(self) -> None:
        """Serve from now on.

        Raises:
            PortTaken: A port is in use; nothing is left open.
        """
        try:
            self.port = await self._serve(self._app, self.port, context=self._context)
            if self.http_port is not None:
                self.http_port = await self._serve(_redirects(self.base_url), self.http_port)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End every connection, after a moment for answers that are being written."""
        for listener, _ in self._serving:
            await listener.close()
        for listener, runner in self._serving:
            await runner.cleanup()
            await listener.abort()
        self._serving.clear()

    async def _serve(
        self, app: web.Application, port: int, *, context: ssl.SSLContext | None = None
    ) -> int:
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=self._logger,
            auto_decompress=False,
            shutdown_timeout=_STOP_SECONDS,
        )
        listening = listen(self._host, port)
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - setup has made it
        listener = Listener(
            listening, runner.server, context=context, on_refused=self._note_refused
        )
        self._serving.append((listener, runner))
        return listener.port

    def _note_refused(self, address: Any, reason: str) -> None:
        what = f"no TLS connection with {address[0]}:{address[1]}"
        self._trace.add("api", "refused", what, denied=True, reason=reason)


def traced_logger(trace: Trace) -> logging.Logger:
    """Return what a server of aiohttp logs to; its own writes a traceback for what is not HTTP."""
    logger = logging.Logger(__name__)  # noqa: LOG001  # nobody else's handlers
    logger.addHandler(_Reasons(trace))
    return logger


class _Reasons(logging.Handler):
    """Takes what aiohttp logs: a request that is no HTTP is a decision, all else is a defect."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        """Trace the reason of a refusal; show the traceback of a defect."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            reason = error.message.partition("\n")[0].rstrip(":")
            self._trace.add("api", "refused", "a request was no HTTP", denied=True, reason=reason)
        elif logging.lastResort and record.levelno >= logging.WARNING:
            logging.lastResort.handle(record)


def _redirects(base_url: str) -> web.Application:
    """Return the application of the HTTP port, which sends every request to *base_url*.

    The request's own `Host` does not count, as it may name any host.
    """

    async def _redirect(request: Request) -> Response:
        # A target without a leading slash is a whole URL, or `*`.
        path = request.raw_path if request.raw_path.startswith("/") else "/"
        headers = {"Location": base_url + path}
        return web.Response(status=HTTPStatus.TEMPORARY_REDIRECT, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _redirect)
    return app
