"""The redirect is all that the port for plain HTTP serves: it names the same path over HTTPS."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from epm_task.simulator.api.gate import hold

if TYPE_CHECKING:
    from aiohttp.web import Request, Response


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
