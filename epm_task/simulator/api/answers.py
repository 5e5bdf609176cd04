"""An answer is the JSON that the API gives; a refusal is one that ends a handler early.

asyncio's TLS takes one large write whole, without asking its writer to wait.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientError, web

from epm_task.contract.json_text import BadJson, parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.web import Request, StreamResponse


def answer(payload: object, *, status: int = HTTPStatus.OK) -> web.Response:
    """Return *payload* as a JSON answer."""
    return web.json_response(payload, status=status)


class Refusal(Exception):
    """A request that is not served.

    Args:
        status: The HTTP status.
        reason: Why, for the trace; it does not reach the client.
        errors: What the client is told, in the `errors` array.
        headers: Further headers of the answer.
        close: Whether the connection ends, because the rest of the body was not read.
    """

    def __init__(
        self,
        status: HTTPStatus,
        reason: str,
        *,
        errors: Sequence[str] | None = None,
        headers: dict[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self._errors = errors
        self._headers = headers
        self._close = close

    def response(self) -> web.Response:
        """Return the answer; its `error` is the standard phrase of the status, never the reason."""
        payload: dict[str, object] = {"error": self.status.phrase}
        if self._errors is not None:
            payload["errors"] = list(self._errors)
        response = web.json_response(payload, status=self.status, headers=self._headers)
        if self._close:
            response.force_close()
        return response


def invalid(errors: Sequence[str]) -> Refusal:
    """Return the refusal of a request whose content is wrong: 400 with `errors`."""
    return Refusal(HTTPStatus.BAD_REQUEST, "; ".join(errors), errors=errors)


def absent(reason: str) -> Refusal:
    """Return the refusal of a name that does not exist: 404."""
    return Refusal(HTTPStatus.NOT_FOUND, reason)


#: asyncio asks its writer to wait from here on.
PIECE_BYTES: Final = 65_536


def body_of(response: StreamResponse) -> bytes:
    """Return the body of an answer that is ready; one that is already being sent has none."""
    body = response.body if isinstance(response, web.Response) else b""
    return bytes(body) if isinstance(body, bytes | bytearray) else b""


async def send_in_pieces(
    ready: StreamResponse, request: Request, *, size: int = PIECE_BYTES, seconds: float = 0.0
) -> StreamResponse:
    """Send *ready* in pieces.

    Args:
        ready: The whole answer, of which nothing was sent yet.
        request: The request.
        size: Bytes of one piece.
        seconds: Pause between two pieces.
    """
    body = body_of(ready)
    response = web.StreamResponse(status=ready.status, headers=ready.headers)
    response.content_length = len(body)
    try:
        await response.prepare(request)
        for start in range(0, len(body), size):
            await response.write(body[start : start + size])
            if seconds:
                await asyncio.sleep(seconds)
    except ConnectionError:
        # The client has gone, or was ended because it did not read.
        response.force_close()
    return response


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the HTTPS and the HTTP port.

    Attributes:
        handshake_seconds: For the TLS handshake.
        head_seconds: For the head of a request, from the connection or its first byte on.
        body_seconds: For the body of a request.
        idle_seconds: Between two requests (Kestrel's default is 130).
        write_seconds: For a client that does not read its answer.
        body_bytes: Of a request's body; more is 413.
        connections: At one time on one port; a new one ends the oldest that waits for a request.
    """

    handshake_seconds: float = 5.0
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    idle_seconds: float = 130.0
    write_seconds: float = 30.0
    body_bytes: int = 1024 * 1024
    connections: int = 256


#: Where the application keeps its bounds.
LIMITS: Final = web.AppKey("limits", Limits)

#: The media types that ASP.NET reads as JSON.
_JSON: Final = re.compile(r"(application|text)/json|application/[\w.-]+\+json")


async def read_object(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """Return the JSON object of a request's body.

    Args:
        request: The request.
        optional: Whether an empty body stands for an empty object.

    Raises:
        Refusal: 400 no JSON object, 408 too slow, 413 too large, 415 not declared as JSON.
    """
    if not request.can_read_body:
        return _empty(optional=optional)
    _check_declaration(request)
    data = await _read(request)
    if not data.strip():
        return _empty(optional=optional)
    try:
        return parse_object(data)
    except BadJson as error:
        raise invalid([f"malformed JSON: {error}"]) from error


def _empty(*, optional: bool) -> dict[str, Any]:
    if optional:
        return {}
    raise invalid(["the body is empty; a JSON object is needed"])


def _check_declaration(request: Request) -> None:
    if request.headers.get("Content-Encoding", "identity").casefold() != "identity":
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a compressed body is not read")
    if not _JSON.fullmatch(request.content_type.casefold()):
        why = f"the body is declared as {request.content_type}, not as application/json"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, why)


async def _read(request: Request) -> bytes:
    limits = request.app[LIMITS]
    data = bytearray()
    _check_size(request.content_length or 0, limits)
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.content.iter_any():
                data += chunk
                _check_size(len(data), limits)
    except TimeoutError as error:
        why = f"the body was not there after {limits.body_seconds} s"
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, why, close=True) from error
    except (ClientError, ConnectionError, web.RequestPayloadError) as error:
        why = f"the body did not arrive: {error}"
        raise Refusal(HTTPStatus.BAD_REQUEST, why, close=True) from error
    return bytes(data)


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.body_bytes:
        why = f"the body has more than {limits.body_bytes} bytes"
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why, close=True)
