"""One request of a client, and the answer to it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Iterable, Mapping


class HttpError(Exception):
    """A request that cannot be served as it is.

    Attributes:
        status: Of the answer.
        headers: That the answer has beside the usual ones.
    """

    def __init__(
        self, status: HTTPStatus, why: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(why or status.phrase)
        self.status: Final = status
        self.headers: Final = dict(headers or {})


class BodyLost(HttpError):
    """A body has not come to its end, or is not written as HTTP wants it: 400."""

    def __init__(self, why: str) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, why)


class Headers:
    """The headers of a request; the case of their names does not count."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def all(self, name: str) -> list[str]:
        """Return every value of a name; bytes that are no ASCII become lone surrogates."""
        wanted = name.lower().encode("ascii")
        found = (value for known, value in self._pairs if known == wanted)
        return [value.decode("ascii", "surrogateescape") for value in found]

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a name."""
        return next(iter(self.all(name)), default)

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))


class Client(NamedTuple):
    """The far end of a connection."""

    local: tuple[str, int]  #: Our own address of the connection.
    address: tuple[str, int]  #: The client's.
    certificate: Mapping[str, Any] | None  #: As `SSLSocket.getpeercert` returns it.
    transport: asyncio.WriteTransport


class Request:
    """What a client asks for.

    Attributes:
        target: As it came, such as `/a%2Fb?c=d`.
        parts: The decoded segments of its path.
        route: The path of the route that serves it, with its names; "" when none does.
        names: What the path has in place of the names in braces of the route's.
    """

    def __init__(
        self,
        method: str,
        target: str,
        headers: Headers,
        client: Client,
        read: Callable[[], Awaitable[bytes]],
    ) -> None:
        self.method: Final = method
        self.target: Final = target
        self.headers: Final = headers
        self.client: Final = client
        self.read: Final = read  #: Returns the whole body; raises `BodyLost`, and `HttpError` 413.
        self.route: str = ""
        self.names: dict[str, str] = {}
        raw, _, self._query = _local(target).partition("?")
        self.parts: Final = [unquote(part, errors="replace") for part in raw.split("/")[1:]]

    @property
    def path(self) -> str:
        """The decoded path."""
        return "/" + "/".join(self.parts)

    @property
    def query(self) -> dict[str, str]:
        """The fields behind the question mark; of several with one name, the first."""
        return dict(reversed(parse_qsl(self._query, keep_blank_values=True, errors="replace")))

    @property
    def media_type(self) -> str:
        """The declared type of the body, in lower case, without its parameters."""
        declared = self.headers.get("Content-Type", "application/octet-stream")
        return declared.partition(";")[0].strip().casefold()

    @property
    def has_body(self) -> bool:
        """Whether the client announces a body."""
        length = self.headers.get("Content-Length", "0")
        return "Transfer-Encoding" in self.headers or length != "0"

    def cookie(self, name: str) -> str:
        """Return the value of a cookie, or an empty text."""
        pairs = (pair.strip().partition("=") for pair in self.headers.get("Cookie").split(";"))
        return next((value for known, _, value in pairs if known == name), "")


def _local(target: str) -> str:
    """Return path and query of a target; only a proxy is sent a whole URL, and still it counts."""
    if target.startswith("/"):
        return target
    try:
        parts = urlsplit(target)
    except ValueError as error:
        raise HttpError(HTTPStatus.BAD_REQUEST, "the target cannot be read") from error
    return f"{parts.path if parts.path.startswith('/') else '/'}?{parts.query}"


@dataclass(slots=True)
class Response:
    """An answer: its *body*, or a *stream* of parts, each written when it comes."""

    status: int = HTTPStatus.OK
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stream: AsyncGenerator[bytes] | None = None


Handler = Callable[[Request], Awaitable[Response]]
#: What is put around a handler.
Around = Callable[[Request, Handler], Awaitable[Response]]


def json_response(
    content: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """Return *content* as JSON."""
    declared = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return Response(status, json.dumps(content).encode("ascii"), declared)


def phrase_of(status: int) -> str:
    """Return the standard phrase of a status; a number without one has none."""
    return _PHRASES.get(status, "")


_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
