"""A fault answer is a wrong one, given on purpose, so that authors can test their tasks."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal, Protocol

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.web import Request, StreamResponse

#: 64 KiB at a time, so that an oversize answer does not need its own size in memory.
_CHUNK: Final = b"x" * 65_536

#: SO_LINGER with zero seconds: closing sends a reset instead of the orderly end.
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

#: Neither UTF-8 nor JSON.
_GARBAGE: Final = b"\x00\xff\xfe{]garbage\x80" * 16


@dataclass(frozen=True, slots=True)
class ApiFault:
    """What is to go wrong with one request.

    Attributes:
        kind: `status` answers with `status`; `delay` waits `seconds`, then serves the request;
            `drip` serves it one byte per `seconds`; `redirect` sends the client to `location`;
            `oversize` answers with `size` bytes; `reset` resets the connection; `garbage` answers
            200 with bytes that are no JSON.
        status: HTTP status of `status`.
        seconds: Of `delay` and `drip`.
        location: Target of `redirect`.
        size: Bytes of `oversize`.
    """

    kind: Literal["status", "delay", "drip", "redirect", "oversize", "reset", "garbage"]
    status: int = 500
    seconds: float = 1.0
    location: str = "https://127.0.0.1:1/elsewhere"
    size: int = 50 * 1024 * 1024

    def __str__(self) -> str:
        """Return the fault in words."""
        details = {
            "status": f" {self.status}",
            "delay": f" of {self.seconds} s",
            "drip": f" of one byte per {self.seconds} s",
            "redirect": f" to {self.location}",
            "oversize": f" of {self.size} bytes",
        }
        return f"{self.kind}{details.get(self.kind, '')}"


class ApiFaults(Protocol):
    """Who says which request goes wrong; asked once for each request."""

    def next_api_fault(self, method: str, path: str) -> ApiFault | None:
        """Return the fault of this request, and count it; None serves the request as usual."""


async def fault_answer(fault: ApiFault, request: Request) -> StreamResponse | None:
    """Return the answer of a fault that needs no true answer; a `delay` waits and returns None."""
    match fault.kind:
        case "status":
            phrase = _phrase(fault.status)
            return web.json_response({"error": phrase}, status=fault.status)
        case "redirect":
            return web.Response(status=HTTPStatus.FOUND, headers={"Location": fault.location})
        case "garbage":
            return web.Response(body=_GARBAGE, content_type="application/json")
        case "reset":
            return _reset(request)
        case "oversize":
            return await _oversize(fault.size, request)
        case "delay":
            await asyncio.sleep(fault.seconds)
    return None


async def _oversize(size: int, request: Request) -> StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = size
    try:
        await response.prepare(request)
        for start in range(0, size, len(_CHUNK)):
            await response.write(_CHUNK[: size - start])
    except ConnectionError:
        # The client has had enough, which is what the fault is for.
        response.force_close()
    return response


def _reset(request: Request) -> web.Response:
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
        )
        transport.abort()
    return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "fault"
