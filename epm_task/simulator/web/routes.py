"""Find what serves a request."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.simulator.web.exchange import Handler, HttpError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.simulator.web.exchange import Around, Request, Response

#: Instead of methods: all of them.
ANY: Final = "*"


class Route(NamedTuple):
    """What serves *methods*, such as `GET, HEAD`, on a path.

    A name in braces is one segment of the path; a last `{name...}` takes all that are left.
    """

    methods: str
    path: str
    handler: Handler

    def names(self, parts: Sequence[str]) -> dict[str, str] | None:
        """Return what the parts of a path have in place of names, or None for another path."""
        own = self.path.split("/")[1:]
        if own[-1].endswith("...}") and len(parts) > len(own):
            parts = [*parts[: len(own) - 1], "/".join(parts[len(own) - 1 :])]
        if len(own) != len(parts):
            return None
        found = {}
        for mine, part in zip(own, parts, strict=True):
            if mine.startswith("{") and part:
                found[mine.strip("{.}")] = part
            elif mine != part:
                return None
        return found


def routed(routes: Sequence[Route], *around: Around) -> Handler:
    """Return what serves requests by the first route that fits; each of *around* is put around it.

    What is around a handler sees the requests that nothing serves, too; those end with `HttpError`.
    """

    async def _serve(request: Request) -> Response:
        handler = _find(routes, request)
        for each in around:
            handler = _inside(each, handler)
        return await handler(request)

    return _serve


def _inside(around: Around, handler: Handler) -> Handler:
    return lambda request: around(request, handler)


def _find(routes: Sequence[Route], request: Request) -> Handler:
    others = []
    for route in routes:
        names = route.names(request.parts)
        if names is None:
            continue
        if route.methods == ANY or request.method in route.methods.split(", "):
            request.route, request.names = route.path, names
            return route.handler
        others.append(route.methods)

    async def _refuse(_: Request) -> Response:
        if others:
            allow = {"Allow": ", ".join(others)}
            raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, headers=allow)
        raise HttpError(HTTPStatus.NOT_FOUND)

    return _refuse
