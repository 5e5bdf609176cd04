"""The transport turns what can go wrong with a call into errors of this package."""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from peers.patience import BUSY, PATIENCE
from peers.tls import certificate_pem

from epm_task.errors import AgentError, AgentProtocolError, UnsafeAgent
from epm_task.runtime.agent.tls import Dialer, client_context
from epm_task.runtime.agent.transport import MAX_BODY_BYTES, Transport, Unanswered, Wire, httpx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peers.tls import Variant


OK = answer.ok({"a": "b"})
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def _transport(url: str, ca_file: Path | None = None) -> Iterator[Transport]:
    transport = Transport(url, client_context(ca_file))
    try:
        yield transport
    finally:
        transport.close()


def _ca_file(folder: Path, variant: Variant = "ip-san") -> Path:
    file = folder / "ca.pem"
    file.write_text(certificate_pem(variant))
    return file


def test_every_status_is_an_answer() -> None:
    """Status, body and redirect come back as they are; nothing is followed."""
    script = [answer.redirect("https://evil.example/x", 307), answer.status(500, b"oops")]
    with HttpPeer(script) as peer, _transport(peer.base_url) as transport:
        assert transport.call("GET", "/a") == (307, b"", "https://evil.example/x")
        assert transport.call("GET", "/b") == (500, b"oops", "")
    assert peer.connections == 1


def test_request_asks_for_plain_json() -> None:
    """The headers name JSON and no encoding; no credential and no cookie is sent."""
    with HttpPeer([OK]) as peer, _transport(peer.base_url) as transport:
        transport.call("PUT", "/a", body={"value": "x"})
    head = peer.requests[0].lower()
    assert b"\r\naccept: application/json\r\n" in head
    assert b"\r\naccept-encoding: identity\r\n" in head
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert b"authorization" not in head
    assert b"cookie" not in head


def test_cookie_is_not_sent_to_another_peer() -> None:
    """What the agent sets stays between us and the agent; a request works with it."""
    cookie = answer.raw(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}")
    with HttpPeer([cookie, OK]) as peer, _transport(peer.base_url) as transport:
        transport.call("GET", "/a")
        assert transport.call("GET", "/b").status == 200


def test_localhost_is_never_resolved() -> None:
    """The name `localhost` means 127.0.0.1."""
    with HttpPeer([OK]) as peer, _transport(f"https://localhost:{peer.port}") as transport:
        assert transport.call("GET", "/a").status == 200
        assert transport.url == peer.base_url


def test_ipv6_address_stands_in_brackets() -> None:
    """An IPv6 base URL keeps its form, and is connected to as such."""
    with socket.socket(socket.AF_INET6) as reserved:
        reserved.bind(("::1", 0))
        url = f"https://[::1]:{reserved.getsockname()[1]}"
        with _transport(url) as transport:
            assert transport.url == url
            with pytest.raises(Unanswered, match="refused"):
                transport.call("GET", "/a")


@pytest.mark.parametrize(
    ("script", "seconds", "why"),
    [
        (answer.close_without_answer(), PATIENCE, "the connection was closed"),
        (answer.reset(), PATIENCE, "connection was closed|reset by peer"),
        (answer.truncated_body(), PATIENCE, "the answer ended too early"),
        (answer.drip(0.05), 0.3, "no complete answer in time"),
        (answer.silence(), 0.3, "no complete answer in time"),
        (answer.silence(before_tls=True), 0.3, "no connection in time"),
    ],
    ids=["closed", "reset", "short", "drip", "silence", "no TLS"],
)
def test_missing_answer_may_come_later(script: answer.Answer, seconds: float, why: str) -> None:
    """What a healthy agent may still answer is reported as unanswered, with the reason."""
    with (
        HttpPeer([script]) as peer,
        _transport(peer.base_url) as transport,
        pytest.raises(Unanswered, match=why),
    ):
        transport.call("GET", "/a", seconds=seconds)


def test_refused_connection_is_unanswered() -> None:
    """An agent that is not up yet refuses the connection."""
    with (
        HttpPeer([OK], listen_after=60) as peer,
        _transport(peer.base_url) as transport,
        pytest.raises(Unanswered, match="Connection refused"),
    ):
        transport.call("GET", "/a")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (answer.oversize(50_000_000), "refused: a body of 50000000 bytes"),
        (answer.gzip_bomb(), "refused: an encoded body"),
        (answer.non_http(), "refused: not HTTP"),
        (answer.plain_tcp(), "it does not speak TLS"),
    ],
    ids=["50 MB", "gzip", "smtp", "clear text"],
)
def test_foreign_answer_is_a_protocol_error(script: answer.Answer, why: str) -> None:
    """What no agent answers is final."""
    with (
        HttpPeer([script]) as peer,
        _transport(peer.base_url) as transport,
        pytest.raises(AgentProtocolError, match=why),
    ):
        transport.call("GET", "/a")


def test_ca_file_verifies_the_agent(tmp_path: Path) -> None:
    """With the right CA and the right name the call succeeds."""
    with HttpPeer([OK]) as peer, _transport(peer.base_url, _ca_file(tmp_path)) as transport:
        assert transport.call("GET", "/a").body == b'{"a": "b"}'


@pytest.mark.parametrize(
    ("certificate", "ca", "why"),
    [
        ("wrong-name", "wrong-name", "IP address mismatch"),
        ("expired", "expired", "certificate has expired"),
        ("ip-san", "wrong-name", "self-signed certificate"),
    ],
    ids=["name", "expired", "other CA"],
)
def test_wrong_certificate_is_unsafe(
    tmp_path: Path, certificate: Variant, ca: Variant, why: str
) -> None:
    """With a CA file a certificate that does not fit ends the run before any request."""
    with (
        HttpPeer([OK], certificate=certificate) as peer,
        _transport(peer.base_url, _ca_file(tmp_path, ca)) as transport,
        pytest.raises(UnsafeAgent, match=why),
    ):
        transport.call("GET", "/a")
    assert peer.requests == []


@pytest.mark.parametrize("certificate", ["wrong-name", "expired"])
def test_certificate_alone_proves_nothing_without_a_ca(certificate: Variant) -> None:
    """Without a CA file the owner of the socket counts, and any certificate does."""
    with HttpPeer([OK], certificate=certificate) as peer, _transport(peer.base_url) as transport:
        assert transport.call("GET", "/a").status == 200


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "https://10.0.0.1:1", "https://u@127.0.0.1:1", "https://127.1:1"]
)
def test_other_address_is_refused_before_any_packet(url: str) -> None:
    """Only https on loopback is an agent."""
    with pytest.raises(UnsafeAgent):
        Transport(url, client_context(None))


def test_threads_share_one_connection() -> None:
    """Calls from several threads follow each other on one connection."""
    statuses: list[int] = []
    with HttpPeer([OK]) as peer, _transport(peer.base_url) as transport:
        threads = [
            threading.Thread(target=lambda: statuses.append(transport.call("GET", "/a").status))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert statuses == [200] * 8
    assert peer.per_connection == [8]


def test_every_error_is_an_agent_error() -> None:
    """A handler needs one class to catch them all."""
    assert issubclass(Unanswered, AgentError)


@contextmanager
def _client(port: int) -> Iterator[httpx.Client]:
    wire = Wire(Dialer(("127.0.0.1", port), client_context(None)).connect)
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


@pytest.mark.parametrize("head", [b"Connection: close\r\nContent-Length: 9999\r\n", b"\r\n"[:0]])
def test_last_answer_of_a_connection_is_read_to_its_end(head: bytes) -> None:
    """Its body may come later than its head, with a length or until the connection ends."""

    def send(exchange: answer.Exchange) -> bool:
        exchange.sock.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        exchange.stopping.wait(0.05)
        exchange.sock.sendall(b"x" * 9999)
        return False

    with HttpPeer([answer.Answer(send)]) as peer, _client(peer.port) as client:
        assert _get(client).content == b"x" * 9999


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nServer: peer\r\nCo"])
def test_head_that_was_cut_off_is_an_early_end(head: bytes) -> None:
    """What is missing may have said that a body follows: it is not an answer without a body."""
    cut = answer.raw(head, keep_open=False)
    with HttpPeer([cut]) as peer, _client(peer.port) as client, pytest.raises(httpx.ReadError):
        _get(client)


def test_chunked_body_leaves_the_connection_usable() -> None:
    """A body in chunks is read to its end."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = answer.raw(head + b"2\r\n{}\r\n3\r\n   \r\n0\r\n\r\n")
    with HttpPeer([chunked, OK]) as peer, _client(peer.port) as client:
        assert _get(client).content == b"{}   "
        assert _get(client).json() == {"a": "b"}
    assert peer.per_connection == [2]


@pytest.mark.parametrize(
    "head", [b"Content-Length: 1048576\r\n\r\n", CHUNKED + b"100000\r\n", b"\r\n"]
)
def test_largest_body_is_read(head: bytes) -> None:
    """Exactly 1 MiB is accepted, in each of the three ways to say where a body ends."""
    end = b"\r\n0\r\n\r\n" if CHUNKED in head else b""
    data = b"HTTP/1.1 200 OK\r\n" + head + b"x" * MAX_BODY_BYTES + end
    with HttpPeer([answer.raw(data, keep_open=False)]) as peer, _client(peer.port) as client:
        assert len(_get(client).content) == MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (answer.oversize(50_000_000), "a body of 50000000 bytes"),
        (answer.body(b"x" * (MAX_BODY_BYTES + 1)), "a body of 1048577 bytes"),
        (answer.raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_BODY_BYTES + 1)), "larger than 1 MiB"),
        (answer.endless_chunked(), "larger than 1 MiB"),
        (answer.gzip_bomb(), r"encoded body \(gzip\)"),
        (answer.non_http(), "not HTTP"),
        (answer.raw(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), "interim"),
        (answer.raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), "not HTTP"),
        (answer.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"), "not HTTP"),
    ],
    ids=[
        *("50 MB", "1 byte too many", "without a length", "endless", "gzip", "smtp", "hint"),
        *("many headers", "long header"),
    ],
)
def test_wrong_answer_is_refused_with_little_work_and_memory(
    refused: answer.Answer, why: str
) -> None:
    """What the agent would not send ends the call after a second of work and some MiB at most."""
    with HttpPeer([refused]) as peer, _client(peer.port) as client:
        tracemalloc.start()
        start = time.thread_time()
        try:
            with pytest.raises(httpx.RemoteProtocolError, match=why):
                _get(client)
            assert time.thread_time() - start < 1
            assert tracemalloc.get_traced_memory()[1] < 60 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "ended",
    [
        answer.truncated_body(),
        answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", keep_open=False),
        *(
            answer.raw(b"HTTP/1.1 200 OK\r\n" + CHUNKED + cut, keep_open=False)
            for cut in (b"", b"2", b"2\r\n{", b"2\r\n{}", b"2\r\n{}\r\n", b"2\r\n{}\r\n0\r\nX: y")
        ),
        answer.reset(),
        answer.close_without_answer(),
    ],
    ids=[
        *("short", "without its body", "without chunks", "size", "chunk", "end of a chunk"),
        *("without the last chunk", "trailer", "reset", "closed"),
    ],
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
        assert 0.25 < time.monotonic() - start < 0.3 + BUSY


def test_deadline_counts_for_sending_too() -> None:
    """A peer that does not read cannot hold up a large request, whatever the call before had."""
    with HttpPeer([answer.deaf()]) as peer, _client(peer.port) as client:
        _get(client, seconds=PATIENCE)
        start = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            client.post("/x", content=b"x" * 30_000_000, extensions={"deadline": start + 0.4})
        assert time.monotonic() - start < PATIENCE / 2


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
