"""Let in the browser that got the address of the console, and nobody else on this machine.

The address holds a token that is good once; it is exchanged for a cookie. Cookies are not kept
apart by port: a browser sends those of 127.0.0.1 to each server there, those of other users too. So
everything lies below a path that nobody can guess, to which the cookie is bound.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from hmac import compare_digest
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from epm_task.errors import EpmTaskError, sentence
from epm_task.simulator.web.exchange import HttpError, Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.web.exchange import Handler, Request

#: 192 bits each.
_TOKEN_BYTES: Final = 24
#: Used addresses that are still recognised.
_REMEMBERED: Final = 100
#: Between two lines with an address.
_PRINT_SECONDS: Final = 1.0

#: What a POST must carry beside the cookie; a form of another page cannot send it.
TOKEN_HEADER: Final = "X-Console-Token"  # noqa: S105  # a name

#: Of every answer. The page loads its own files, and nothing that is written in it runs.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Refused(EpmTaskError):
    """A request that the console does not serve."""

    def __init__(self, what: str, fix: str, status: int = HTTPStatus.FORBIDDEN) -> None:
        super().__init__(what, "", fix)
        self.status = status


class Guard:
    """Decides about each request of one console.

    Attributes:
        on_address: Called with a new address when one was used twice, so that a second browser can
            be let in by who reads the agent's terminal.
        path: Below it is everything.
        post_token: What a POST must carry.
    """

    def __init__(self) -> None:
        self.on_address: Callable[[str], object] | None = None
        self._port = 0
        self._session = secrets.token_urlsafe(_TOKEN_BYTES)
        self._unused = secrets.token_urlsafe(_TOKEN_BYTES)
        self._used: deque[str] = deque(maxlen=_REMEMBERED)
        self._printed = -_PRINT_SECONDS
        self.post_token: Final = secrets.token_urlsafe(_TOKEN_BYTES)
        self.path: Final = f"/{secrets.token_urlsafe(_TOKEN_BYTES)}/"

    def bind(self, port: int) -> None:
        """Guard the console on *port* from now on."""
        self._port = port

    @property
    def address(self) -> str:
        """What lets the next browser in."""
        return f"http://127.0.0.1:{self._port}{self.path}?token={self._unused}"

    async def check(self, request: Request, handler: Handler) -> Response:
        """Serve a request of a browser that was let in, let one in, or refuse.

        Each answer gets the headers that keep browsers from doing more than they should.
        """
        response = await self._decide(request, handler)
        response.headers.update(HEADERS)
        return response

    async def _decide(self, request: Request, handler: Handler) -> Response:
        try:
            self._check_origin(request)
            if request.path == self.path and (token := request.query.get("token")) is not None:
                return self._let_in(request, token)
            self._check_cookie(request)
            if request.method not in {"GET", "HEAD"}:
                self._check_post(request)
            return await handler(request)
        except EpmTaskError as error:
            status = error.status if isinstance(error, Refused) else HTTPStatus.BAD_REQUEST
            answer = {"error": sentence(error.what, error.why), "fix": error.fix or None}
            return json_response(answer, status)
        except HttpError as error:
            return json_response({"error": str(error), "fix": None}, error.status, error.headers)

    def _check_origin(self, request: Request) -> None:
        hosts = (f"127.0.0.1:{self._port}", f"localhost:{self._port}")
        host, origin = request.headers.all("Host"), request.headers.all("Origin")
        if len(host) != 1 or host[0] not in hosts:
            raise Refused("the request names another host", "use the address that was printed")
        if origin not in ([], [f"http://{host[0]}"]):
            raise Refused("the request comes from another page", "use the console's own page")
        if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
            raise Refused("another page led here", "open the address that was printed by hand")

    def _check_cookie(self, request: Request) -> None:
        given = request.cookie(self._cookie)
        if not _same(given, self._session):
            raise Refused("this browser was not let in", "open the address that was printed")

    def _check_post(self, request: Request) -> None:
        given = request.headers.get(TOKEN_HEADER)
        if "Origin" not in request.headers:
            raise Refused("the request does not say from which page it comes", "send Origin")
        if not _same(given, self.post_token):
            raise Refused(f"{TOKEN_HEADER} is missing or wrong", "load the page again")

    def _let_in(self, request: Request, token: str) -> Response:
        if _same(token, self._unused):
            self._used.append(self._unused)
            self._unused = secrets.token_urlsafe(_TOKEN_BYTES)
            attributes = f"Path={self.path}; HttpOnly; SameSite=Strict"
            cookie = f"{self._cookie}={self._session}; {attributes}"
            headers = {"Location": self.path, "Set-Cookie": cookie}
            return Response(HTTPStatus.SEE_OTHER, headers=headers)
        if self._has_session(request):  # the same browser, once more
            return Response(HTTPStatus.SEE_OTHER, headers={"Location": self.path})
        now = time.monotonic()
        if self.on_address and token in self._used and now - self._printed >= _PRINT_SECONDS:
            self._printed = now
            self.on_address(self.address)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return Response(HTTPStatus.FORBIDDEN, _USED.encode(), headers)

    def _has_session(self, request: Request) -> bool:
        try:
            self._check_cookie(request)
        except Refused:
            return False
        return True

    @property
    def _cookie(self) -> str:
        return f"epm-console-{self._port}"


def _same(given: str, secret: str) -> bool:
    """Compare without telling by the time how much is right; a header may hold any bytes."""
    return compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode())


_USED: Final = """\
This address of the console was used before, or is not of this agent.

An address lets one browser in. A new one is printed where the agent runs: open that.
"""
