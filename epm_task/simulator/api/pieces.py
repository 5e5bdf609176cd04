"""Pieces are an answer sent bit by bit, so that a client that does not read holds little memory.

asyncio's TLS takes one large write whole, without asking its writer to wait.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.web import Request, StreamResponse

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
