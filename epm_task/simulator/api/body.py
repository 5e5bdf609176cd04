"""A body is the JSON that a client sends, read within bounds of size, time and nesting."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientError, web

from epm_task.simulator.api.answers import Refusal, invalid
from epm_task.simulator.api.limits import Limits
from epm_task.simulator.json_text import BadJson, parse_object

if TYPE_CHECKING:
    from aiohttp.web import Request

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
