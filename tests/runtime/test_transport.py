"""The transport turns what can go wrong with a call into errors of this package."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from peers.tls import certificate_pem

from epm_task.errors import AgentError, AgentProtocolError, UnsafeAgent
from epm_task.runtime.tls import client_context
from epm_task.runtime.transport import Transport, Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peers.tls import Variant

OK = answer.ok({"a": "b"})


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
    ("script", "why"),
    [
        (answer.close_without_answer(), "the connection was closed"),
        (answer.reset(), "connection was closed|reset by peer"),
        (answer.truncated_body(), "the answer ended too early"),
        (answer.drip(0.05), "no complete answer in time"),
        (answer.silence(), "no complete answer in time"),
        (answer.silence(before_tls=True), "no connection in time"),
    ],
    ids=["closed", "reset", "short", "drip", "silence", "no TLS"],
)
def test_missing_answer_may_come_later(script: answer.Answer, why: str) -> None:
    """What a healthy agent may still answer is reported as unanswered, with the reason."""
    with (
        HttpPeer([script]) as peer,
        _transport(peer.base_url) as transport,
        pytest.raises(Unanswered, match=why),
    ):
        transport.call("GET", "/a", seconds=0.3)


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
        (answer.plain_tcp(), "no TLS is spoken there"),
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
