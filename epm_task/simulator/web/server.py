"""Serve HTTP on one port: each connection its requests, one after the other.

h11 says what the bytes mean, and that what is sent is HTTP. This is a tool on its user's machine:
it does not defend itself against floods of connections or clients that are slow on purpose.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import h11

from epm_task.simulator.listener import Listener
from epm_task.simulator.web.exchange import (
    BodyLost,
    Client,
    Headers,
    HttpError,
    Request,
    Response,
    phrase_of,
)

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Mapping

    from epm_task.simulator.trace import Trace
    from epm_task.simulator.web.exchange import Handler

#: Of one read.
_READ_BYTES: Final = 1 << 16

#: For answers that are being written when the server stops, and for the rest of a body that nobody
#: wants: a client that is cut off while it sends does not see the answer.
_LAST_SECONDS: Final = 1.0
_REST_SECONDS: Final = 10.0

#: h11 takes what looks like any.
_VERSIONS: Final = frozenset({b"1.0", b"1.1"})

#: Answers that never have a body.
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class HttpServer:
    """Serves on *listening*, from now on, with *handler*; without *context* it is plain HTTP.

    A body of more than *body_bytes* is 413. The *trace* gets what was no HTTP, and no TLS.
    """

    def __init__(
        self,
        listening: socket.socket,
        handler: Handler,
        *,
        trace: Trace,
        context: ssl.SSLContext | None = None,
        body_bytes: int = 0,
    ) -> None:
        self._handler: Final = handler
        self._trace: Final = trace
        self._body_bytes: Final = body_bytes
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._listener: Final = Listener(
            listening, self._accepted, context=context, on_refused=self._note_refused
        )

    @property
    def port(self) -> int:
        """The port, also when any free one was asked for."""
        return self._listener.port

    async def stop(self) -> None:
        """End every connection, after a moment for answers that are being written."""
        await self._listener.close()
        for task, connection in self._connections.items():
            if not connection.busy:
                task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=_LAST_SECONDS)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._listener.abort()

    def _accepted(self) -> asyncio.StreamReaderProtocol:
        return _Protocol(asyncio.StreamReader(), self._connected)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer, self._handler, self._body_bytes, self._trace)
        task = asyncio.get_running_loop().create_task(connection.serve())
        self._connections[task] = connection
        task.add_done_callback(self._connections.pop)

    def _note_refused(self, address: Any, reason: str) -> None:
        what = f"no TLS connection with {address[0]}:{address[1]}"
        self._trace.add("api", "refused", what, denied=True, reason=reason)


class _Protocol(asyncio.StreamReaderProtocol):
    def eof_received(self) -> bool:
        """Close the connection: a client that sends no more takes no more, whatever is streamed."""
        super().eof_received()
        return False


class _Connection:
    """One connection of a client, from its first request to its last."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
        body_bytes: int,
        trace: Trace,
    ) -> None:
        self._reader: Final = reader
        self._writer: Final = writer
        self._handler: Final = handler
        self._body_bytes: Final = body_bytes
        self._trace: Final = trace
        self._http: Final = h11.Connection(h11.SERVER)
        known = writer.get_extra_info
        self._client: Final = Client(
            known("sockname")[:2], known("peername")[:2], known("peercert"), writer.transport
        )
        self.busy: bool = False  #: Whether a request is being answered.

    async def serve(self) -> None:
        """Answer requests until either side wants no more of them."""
        try:
            while await self._serve_one():
                self._http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            what = "a request was no HTTP"
            self._trace.add("api", "refused", what, denied=True, reason=str(error))
            if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                response = Response(error.error_status_hint, headers={"Connection": "close"})
                await self._send(response, bodiless=False)
        except OSError:
            pass  # the client has gone, or its body has no end
        finally:
            self._writer.close()

    async def _serve_one(self) -> bool:
        """Answer one request; return whether another one may follow."""
        event = await self._next_event()
        if not isinstance(event, h11.Request):  # the client has closed the connection
            return False
        if event.http_version not in _VERSIONS:
            why = f"the version {event.http_version.decode('ascii')} is not served"
            raise h11.RemoteProtocolError(why, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        self.busy = True
        response = await self._answer(event)
        held_back = self._http.they_are_waiting_for_100_continue
        await self._send(response, bodiless=event.method == b"HEAD")
        if not held_back:
            async with asyncio.timeout(_REST_SECONDS):
                while self._http.their_state is h11.SEND_BODY:
                    await self._next_event()
        self.busy = False
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _answer(self, event: h11.Request) -> Response:
        method, target = event.method.decode("ascii"), event.target.decode("ascii")
        headers = Headers(event.headers)
        try:
            request = Request(method, target, headers, self._client, self._read_body)
            return await self._handler(request)
        except HttpError as error:
            return Response(error.status, headers=error.headers)
        except Exception as error:  # noqa: BLE001  # a defect ends one request, and is shown
            facts = {"message": f"{method} {target} could not be answered", "exception": error}
            asyncio.get_running_loop().call_exception_handler(facts)
            return Response(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _read_body(self) -> bytes:
        body = bytearray()
        try:
            if self._http.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
            while isinstance(event := await self._next_event(), h11.Data):
                body += event.data
                if len(body) > self._body_bytes:
                    raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except (h11.RemoteProtocolError, OSError) as error:
            raise BodyLost(str(error)) from error
        return bytes(body)

    async def _next_event(self) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_READ_BYTES))
        return event

    async def _send(self, response: Response, *, bodiless: bool) -> None:
        headers = {"Date": formatdate(usegmt=True), **response.headers}
        if response.stream is None and response.status not in _BODILESS:
            headers["Content-Length"] = str(len(response.body))
        bodiless = bodiless or response.status in _BODILESS
        self._write(_head(response.status, headers))
        if response.stream is None:
            self._write(h11.Data(b"" if bodiless else response.body))
        elif not bodiless:
            async with aclosing(response.stream) as parts:
                async for part in parts:
                    self._write(h11.Data(part))
                    await self._writer.drain()
        self._write(h11.EndOfMessage())
        await self._writer.drain()

    def _write(self, event: h11.Event) -> None:
        if data := self._http.send(event):
            self._writer.write(data)


def _head(status: int, headers: Mapping[str, str]) -> h11.Response:
    reason = phrase_of(status).encode("ascii")
    return h11.Response(status_code=status, reason=reason, headers=list(headers.items()))
