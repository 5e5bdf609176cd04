"""Tests of connections: which bytes get which answer, and when a connection ends."""

from __future__ import annotations

import asyncio
import re
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import PATIENCE

from epm_task.simulator.background import LoopThread
from epm_task.simulator.start_error import listen
from epm_task.simulator.trace import Trace
from epm_task.simulator.web.exchange import Response
from epm_task.simulator.web.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from epm_task.simulator.web.exchange import Request

BODY_BYTES = 100_000


class Served:
    """A server that answers with what it was asked; it runs in a thread of its own."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.left: list[str] = []
        self._loop = LoopThread("web")
        self.server = self._loop.call(self._start())

    async def _start(self) -> HttpServer:
        return HttpServer(
            listen("127.0.0.1", 0), self._answer, trace=self.trace, body_bytes=BODY_BYTES
        )

    async def _answer(self, request: Request) -> Response:
        match request.path:
            case "/stream":
                return Response(stream=self._parts())
            case "/empty":
                return Response(HTTPStatus.NO_CONTENT, b"not sent")
            case "/defect":
                raise RuntimeError("a defect")
            case "/unread":
                return Response(HTTPStatus.FORBIDDEN)
        body = await request.read() if request.has_body else b""
        return Response(body=f"{request.method} {request.path} {len(body)}".encode())

    async def _parts(self) -> AsyncGenerator[bytes]:
        try:
            for number in range(1000):
                yield b"part %d\n" % number
                await asyncio.sleep(0.01)
        finally:
            self.left.append("stream")

    def connected(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.server.port), PATIENCE)

    def close(self) -> None:
        """Stop."""
        self._loop.call(self.server.stop())
        self._loop.stop()


@pytest.fixture
def served() -> Iterator[Served]:
    """A server on a port of its own."""
    served = Served()
    yield served
    served.close()


def lines(*text: str, body: bytes = b"") -> bytes:
    """Return a request of these lines."""
    return "\r\n".join((*text, "Host: x", "", "")).encode("latin-1") + body


def to_end(connection: socket.socket) -> str:
    """Return what comes until the server closes the connection."""
    data = b""
    while chunk := connection.recv(65_536):
        data += chunk
    return data.decode("latin-1")


CLOSE = lines("GET /last HTTP/1.1", "Connection: close")


def answers(text: str) -> list[tuple[str, str]]:
    """Return status and body of each answer that has a length."""
    found = []
    while text:
        head, _, text = text.partition("\r\n\r\n")
        length = re.search(r"(?i)content-length: (\d+)", head)
        size = int(length[1]) if length else 0
        found.append((head.split(" ")[1], text[:size]))
        text = text[size:]
    return found


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (lines("GET /a HTTP/1.1"), [("200", "GET /a 0")]),
        (lines("POST /b HTTP/1.1", "Content-Length: 3", body=b"abc"), [("200", "POST /b 3")]),
        (
            lines("PUT /c HTTP/1.1", "Transfer-Encoding: chunked", body=b"2\r\nab\r\n0\r\n\r\n"),
            [("200", "PUT /c 2")],
        ),
        (
            lines("POST /d HTTP/1.1", "Expect: 100-continue", "Content-Length: 1", body=b"x"),
            [("100", ""), ("200", "POST /d 1")],
        ),
        (lines("GET /empty HTTP/1.1"), [("204", "")]),
        (
            lines("POST /unread HTTP/1.1", "Content-Length: 90000", body=b"x" * 90_000),
            [("403", "")],
        ),
        (
            lines("POST /e HTTP/1.1", "Content-Length: 500000", body=b"x" * 500_000),
            [("413", "")],
        ),
    ],
    ids=["get", "length", "chunks", "continue", "no content", "unread", "too large"],
)
def test_connection_goes_on(served: Served, sent: bytes, expected: list[Any]) -> None:
    """What comes after a request is another one, also when nobody has read its body."""
    with served.connected() as connection:
        connection.sendall(sent + CLOSE)
        assert answers(to_end(connection)) == [*expected, ("200", "GET /last 0")]


def test_body_waits_for_its_leave(served: Served) -> None:
    """A client that asks before it sends gets its answer, or its refusal without a body."""
    ask = ("Expect: 100-continue", "Content-Length: 4")
    with served.connected() as connection:
        connection.sendall(lines("POST /a HTTP/1.1", *ask))
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"body" + lines("POST /unread HTTP/1.1", *ask))
        text = to_end(connection)
        assert answers(text) == [("200", "POST /a 4"), ("403", "")]


def test_head_has_the_length_alone(served: Served) -> None:
    """Of the body that it would have; so has the head of a stream."""
    with served.connected() as connection:
        stream = lines("HEAD /stream HTTP/1.1")
        connection.sendall(lines("HEAD /a HTTP/1.1") + stream + CLOSE)
        text = to_end(connection)
    assert "Content-Length: 9\r\n" in text
    assert text.count("HTTP/1.1 200") == 3
    assert "part" not in text
    assert re.search(r"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n", text)


def test_version_1_0_has_one_request(served: Served) -> None:
    """Its connection ends with the answer."""
    with served.connected() as connection:
        connection.sendall(lines("GET /old HTTP/1.0") + CLOSE)
        assert answers(to_end(connection)) == [("200", "GET /old 0")]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\n\r\n", "400"),
        (lines("GET / HTTP/1.1", "Host: y"), "400"),
        (lines("GET / HTTP/1.1", "odd header: x"), "400"),
        (lines("POST / HTTP/1.1", "Content-Length: -1"), "400"),
        (lines("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 2"), "400"),
        (lines("POST / HTTP/1.1", "Transfer-Encoding: gzip"), "501"),
        (lines("GET / HTTP/2.0"), "505"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70_000, "431"),
        (b"\x16\x03\x01\r\n\r\n", "400"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else value,
)
def test_what_is_not_http(served: Served, sent: bytes, status: str) -> None:
    """It is refused, traced, and ends its connection; nothing that follows is read as a request."""
    with served.connected() as connection:
        connection.sendall(sent + CLOSE)
        try:
            found = answers(to_end(connection))
        except ConnectionResetError:  # what it had not read yet
            found = [(status, "")]
    assert found == [(status, "")]
    assert [event.what for event in served.trace] == ["a request was no HTTP"]


def test_chunks_that_are_none(served: Served) -> None:
    """The body is lost, and the answer says so by its status."""
    sent = lines("POST /a HTTP/1.1", "Transfer-Encoding: chunked", body=b"zz\r\n")
    with served.connected() as connection:
        connection.sendall(sent)
        assert to_end(connection).startswith("HTTP/1.1 400 ")


def test_defect_ends_one_request(served: Served) -> None:
    """It is told to whoever watches the loop, and the next request is served."""
    told: list[dict[str, Any]] = []

    async def _listen() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, facts: told.append(facts))

    served._loop.call(_listen())
    with served.connected() as connection:
        connection.sendall(lines("GET /defect HTTP/1.1") + CLOSE)
        assert answers(to_end(connection)) == [("500", ""), ("200", "GET /last 0")]
    assert [str(each["exception"]) for each in told] == ["a defect"]


def test_stream_ends_with_its_client(served: Served) -> None:
    """What it holds is let go of, before the server stops."""
    with served.connected() as connection:
        connection.sendall(lines("GET /stream HTTP/1.1"))
        assert b"HTTP/1.1 200" in connection.recv(4096)

    async def _left() -> None:
        async with asyncio.timeout(PATIENCE):
            while not served.left:  # noqa: ASYNC110  # a generator has no event for it
                await asyncio.sleep(0.005)

    served._loop.call(_left())


def test_stop_cuts_a_stream_off(served: Served) -> None:
    """An answer that has no end does not hold up the end of the server."""
    with served.connected() as connection, served.connected() as idle:
        connection.sendall(lines("GET /stream HTTP/1.1"))
        assert b"HTTP/1.1 200" in connection.recv(4096)
        served._loop.call(served.server.stop())
        assert "part" in to_end(connection)
        assert to_end(idle) == ""
    assert served.left == ["stream"]
