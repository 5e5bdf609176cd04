"""Serve the local API on the agent's HTTPS port, and send the HTTP port's callers there."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from epm_task.simulator.api.gate import gate
from epm_task.simulator.start_error import listen
from epm_task.simulator.web.exchange import Response
from epm_task.simulator.web.routes import routed
from epm_task.simulator.web.server import HttpServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.processes.registry import Access
    from epm_task.simulator.trace import Trace
    from epm_task.simulator.web.exchange import Around, Request
    from epm_task.simulator.web.routes import Route

#: Of a request's body; more is 413.
_BODY_BYTES: Final = 1024 * 1024


class ApiServer:
    """The agent's API; port 0 is any free one, *around* are put around each request."""

    def __init__(  # noqa: PLR0913 - what the agent has, each by its name
        self,
        endpoints: Sequence[Route],
        access: Access,
        trace: Trace,
        context: ssl.SSLContext,
        *,
        faults: Faults,
        host: str = "127.0.0.1",
        port: int = 0,
        http_port: int | None = 0,
        around: Sequence[Around] = (),
    ) -> None:
        self._host = host
        self._context = context
        self._trace = trace
        self._handler = routed(endpoints, gate(access, trace, faults), *around)
        self._servers: list[HttpServer] = []
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
            https = HttpServer(
                listen(self._host, self.port),
                self._handler,
                trace=self._trace,
                context=self._context,
                body_bytes=_BODY_BYTES,
            )
            self._servers.append(https)
            self.port = https.port
            if self.http_port is not None:
                listening = listen(self._host, self.http_port)
                http = HttpServer(listening, self._redirect, trace=self._trace)
                self._servers.append(http)
                self.http_port = http.port
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End every connection, after a moment for answers that are being written."""
        for server in self._servers:
            await server.stop()
        self._servers.clear()

    async def _redirect(self, request: Request) -> Response:
        """Send a request to the HTTPS port; its own `Host` does not count, which may name any."""
        # A target without a leading slash is a whole URL, or `*`.
        path = request.target if request.target.startswith("/") else "/"
        return Response(HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": self.base_url + path})
