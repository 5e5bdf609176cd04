"""The wire keeps one connection, within its limits of time and memory."""

from __future__ import annotations

import resource
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer

from epm_task.runtime.tls import client_context
from epm_task.runtime.wire import MAX_BODY_BYTES, Wire, httpx

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

OK = answer.ok({"a": "b"})


def _nothing(*_: object) -> None:
    """Trust everybody."""


@contextmanager
def _client(
    port: int,
    check_listener: Callable[[], None] = _nothing,
    check_peer: Callable[[socket.socket], None] = _nothing,
) -> Iterator[httpx.Client]:
    wire = Wire(("127.0.0.1", port), client_context(None), check_listener, check_peer)
    url = f"https://127.0.0.1:{port}"
    with httpx.Client(transport=wire, base_url=url, trust_env=False) as client:
        yield client


def _get(client: httpx.Client, *, seconds: float = 5.0, method: str = "GET") -> httpx.Response:
    deadline = time.monotonic() + seconds
    return client.request(method, "/x", extensions={"deadline": deadline})


def test_connection_is_kept() -> None:
    """Three requests use one connection, whatever their status."""
    with HttpPeer([OK, answer.status(403), OK]) as peer, _client(peer.port) as client:
        assert [_get(client).status_code for _ in range(3)] == [200, 403, 200]
    assert peer.per_connection == [3]


def test_request_is_sent_whole() -> None:
    """Method, path, headers and body arrive as httpx made them."""
    with HttpPeer([OK]) as peer, _client(peer.port) as client:
        extensions = {"deadline": time.monotonic() + 5}
        client.put("/a%2Fb", json={"value": "é"}, headers={"X-A": "b"}, extensions=extensions)
    (request,) = peer.requests
    assert request.startswith(b"PUT /a%2Fb HTTP/1.1\r\n")
    assert b"\r\nx-a: b\r\n" in request.lower()
    assert request.endswith(b'\r\n\r\n{"value":"\xc3\xa9"}')


def test_connection_closed_while_idle_is_opened_again_for_a_get() -> None:
    """The agent may close a kept-alive connection; a reading request is sent once more."""
    closing = answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", keep_open=False)
    with HttpPeer([closing, OK]) as peer, _client(peer.port) as client:
        assert _get(client).content == b"{}"
        assert _get(client).json() == {"a": "b"}
    assert peer.per_connection == [1, 1]


def test_connection_closed_while_idle_is_an_error_for_a_put() -> None:
    """A writing request is never sent twice."""
    closing = answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", keep_open=False)
    with HttpPeer([closing, OK]) as peer, _client(peer.port) as client:
        _get(client)
        with pytest.raises(httpx.ReadError):
            _get(client, method="PUT")
    assert peer.per_connection == [1]


def test_announced_end_opens_a_new_connection() -> None:
    """After `Connection: close` the next request connects anew."""
    closing = answer.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    with HttpPeer([closing, OK]) as peer, _client(peer.port) as client:
        assert _get(client).content == b""
        assert _get(client, method="PUT").json() == {"a": "b"}
    assert peer.connections == 2


def test_chunked_body_leaves_the_connection_usable() -> None:
    """A body in chunks is read to its end."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = answer.raw(head + b"2\r\n{}\r\n3\r\n   \r\n0\r\n\r\n")
    with HttpPeer([chunked, OK]) as peer, _client(peer.port) as client:
        assert _get(client).content == b"{}   "
        assert _get(client).json() == {"a": "b"}
    assert peer.per_connection == [2]


def test_largest_body_is_read() -> None:
    """Exactly 1 MiB is accepted."""
    with HttpPeer([answer.body(b"x" * MAX_BODY_BYTES)]) as peer, _client(peer.port) as client:
        assert len(_get(client).content) == MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (answer.oversize(50_000_000), "a body of 50000000 bytes"),
        (answer.body(b"x" * (MAX_BODY_BYTES + 1)), "a body of 1048577 bytes"),
        (answer.endless_chunked(), "larger than 1 MiB"),
        (answer.gzip_bomb(), r"encoded body \(gzip\)"),
        (answer.non_http(), "not HTTP"),
        (answer.raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), "not HTTP"),
        (answer.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"), "not HTTP"),
    ],
    ids=["50 MB", "1 byte too many", "endless", "gzip", "smtp", "many headers", "long header"],
)
def test_wrong_answer_is_refused_in_little_time_and_memory(
    refused: answer.Answer, why: str
) -> None:
    """What the agent would not send ends the call within a second and some MiB."""
    with HttpPeer([refused]) as peer, _client(peer.port) as client:
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError, match=why):
            _get(client)
        assert time.monotonic() - start < 1
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


@pytest.mark.parametrize(
    "ended",
    [answer.truncated_body(), answer.reset(), answer.close_without_answer()],
    ids=["short", "reset", "closed"],
)
def test_early_end_is_a_read_error(ended: answer.Answer) -> None:
    """A connection that ends before the answer does may be tried again by the caller."""
    with HttpPeer([ended]) as peer, _client(peer.port) as client, pytest.raises(httpx.ReadError):
        _get(client)
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "slow",
    [
        answer.drip(0.05),
        answer.drip_headers(0.05),
        answer.silence(),
        answer.silence(before_tls=True),
    ],
    ids=["body", "headers", "silence", "no TLS"],
)
def test_deadline_counts_for_the_whole_call(slow: answer.Answer) -> None:
    """An answer that keeps coming in small pieces ends at the deadline all the same."""
    with HttpPeer([slow]) as peer, _client(peer.port) as client:
        start = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            _get(client, seconds=0.3)
        assert 0.25 < time.monotonic() - start < 0.6


def test_deadline_counts_for_sending_too() -> None:
    """A peer that does not read cannot hold up a large request."""
    with HttpPeer([answer.silence()]) as peer, _client(peer.port) as client:
        start = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            client.post("/x", content=b"x" * 30_000_000, extensions={"deadline": start + 0.4})
        assert time.monotonic() - start < 1.5


def test_passed_deadline_connects_nowhere() -> None:
    """A call whose time is over opens no connection."""
    with HttpPeer([OK]) as peer, _client(peer.port) as client, pytest.raises(httpx.ConnectTimeout):
        _get(client, seconds=-1)
    assert peer.connections == 0


def test_refused_connection_is_a_connect_error() -> None:
    """A closed port is told from an answer."""
    with (
        HttpPeer([OK], listen_after=60) as peer,
        _client(peer.port) as client,
        pytest.raises(httpx.ConnectError) as caught,
    ):
        _get(client)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_error_that_is_no_answer_closes_the_connection() -> None:
    """A header that cannot be sent leaves no half-used connection behind."""
    with HttpPeer([OK]) as peer, _client(peer.port) as client:
        _get(client)
        extensions = {"deadline": time.monotonic() + 5}
        with pytest.raises(UnicodeDecodeError):
            client.get("/x", headers={b"X-A": b"\xff"}, extensions=extensions)
        assert _get(client).status_code == 200
    assert peer.connections == 2


def test_connection_can_be_used_by_the_thread_that_did_not_open_it() -> None:
    """A connection belongs to no thread."""
    statuses: list[int] = []
    with HttpPeer([OK]) as peer, _client(peer.port) as client:
        _get(client)
        thread = threading.Thread(target=lambda: statuses.append(_get(client).status_code))
        thread.start()
        thread.join(5)
    assert (statuses, peer.per_connection) == ([200], [2])
