"""Tests of what serves a request, and of what is in its path."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from epm_task.simulator.web.exchange import Headers, HttpError, Request, json_response
from epm_task.simulator.web.routes import ANY, Route, routed

if TYPE_CHECKING:
    from epm_task.simulator.web.exchange import Handler, Response


def asked(handler: Handler, method: str, target: str) -> Any:
    """Return the body of the answer, or status and headers of the error."""
    request = Request(method, target, Headers([]), cast("Any", None), cast("Any", None))

    async def _ask() -> Response:
        return await handler(request)

    try:
        return asyncio.run(_ask()).body.decode()
    except HttpError as error:
        return int(error.status), error.headers


async def _echo(request: Request) -> Response:
    return json_response([request.route, request.names])


ROUTES = [
    Route("GET, HEAD", "/", _echo),
    Route("POST", "/jobs/all", _echo),
    Route("GET", "/jobs/{job}", _echo),
    Route("PUT", "/jobs/{job}", _echo),
    Route(ANY, "/files/{name...}", _echo),
]


@pytest.mark.parametrize(
    ("method", "target", "answer"),
    [
        ("HEAD", "/?x", '["/", {}]'),
        ("POST", "/jobs/all", '["/jobs/all", {}]'),
        ("GET", "/jobs/all", '["/jobs/{job}", {"job": "all"}]'),
        ("GET", "/jobs/a%2Fb", '["/jobs/{job}", {"job": "a/b"}]'),
        ("GET", "http://elsewhere/jobs/x?y", '["/jobs/{job}", {"job": "x"}]'),
        ("BREW", "/files/a/b", '["/files/{name...}", {"name": "a/b"}]'),
        ("POST", "/jobs/one", (405, {"Allow": "GET, PUT"})),
        ("POST", "/", (405, {"Allow": "GET, HEAD"})),
        ("GET", "/jobs/", (404, {})),
        ("GET", "/jobs/x/", (404, {})),
        ("GET", "/jobs%2Fx", (404, {})),
        ("GET", "/JOBS/x", (404, {})),
        ("GET", "/files", (404, {})),
        ("GET", "*", '["/", {}]'),
    ],
)
def test_route(method: str, target: str, answer: Any) -> None:
    """The first that fits serves; names are whole segments, decoded after the path was divided."""
    assert asked(routed(ROUTES), method, target) == answer


def test_target_that_no_url_has() -> None:
    """It is refused before anything is asked to serve it."""
    with pytest.raises(HttpError):
        Request("GET", "http://[::/x", Headers([]), cast("Any", None), cast("Any", None))


def test_what_is_around_sees_each_request() -> None:
    """The last is outermost, and what nothing serves passes through them, too."""
    seen = []

    def named(name: str) -> Any:
        async def _around(request: Request, handler: Handler) -> Response:
            seen.append((name, request.route))
            return await handler(request)

        return _around

    handler = routed(ROUTES, named("inner"), named("outer"))
    assert asked(handler, "GET", "/none") == (404, {})
    assert asked(handler, "GET", "/") == '["/", {}]'
    assert seen == [("outer", ""), ("inner", ""), ("outer", "/"), ("inner", "/")]
