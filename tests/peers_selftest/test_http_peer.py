"""The scripted HTTPS peer does what its answers are named after."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from peers.patience import PATIENCE
from peers.tls import Variant, certificate_pem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peers.http_answer import Answer


def _context(pem: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if pem:
        context.load_verify_locations(cadata=pem)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _client(
    peer: HttpPeer, *, pem: str = "", seconds: float = PATIENCE
) -> Iterator[http.client.HTTPSConnection]:
    client = http.client.HTTPSConnection(
        "127.0.0.1", peer.port, timeout=seconds, context=_context(pem)
    )
    with contextlib.closing(client):
        yield client


def _get(client: http.client.HTTPSConnection) -> tuple[int, bytes]:
    client.request("GET", "/api/PluginSettings/X")
    with client.getresponse() as response:
        return response.status, response.read()


def _ask(script: Answer, *, seconds: float = PATIENCE) -> tuple[int, bytes]:
    with HttpPeer([script]) as peer, _client(peer, seconds=seconds) as client:
        return _get(client)


def test_script_is_used_in_order_on_one_connection() -> None:
    """Answers follow each other, the last one repeats, and the connection is kept."""
    script = [answer.status(403), answer.ok({"a": "b"})]
    with HttpPeer(script) as peer, _client(peer) as client:
        found = [_get(client) for _ in range(3)]
    assert [code for code, _ in found] == [403, 200, 200]
    assert found[2][1] == b'{"a": "b"}'
    assert (peer.connections, peer.per_connection, peer.reused) == (1, [3], True)
    assert peer.requests[0].startswith(b"GET /api/PluginSettings/X HTTP/1.1\r\n")
    assert peer.arrivals == sorted(peer.arrivals)


def test_request_body_is_recorded() -> None:
    """A PUT is kept with its body, and several connections are told apart."""
    with HttpPeer([answer.body(b"[]")]) as peer:
        for _ in range(2):
            with _client(peer) as client:
                client.request("PUT", "/x", body=b'{"value":"1"}')
                client.getresponse().read()
    assert peer.requests[1].endswith(b'\r\n\r\n{"value":"1"}')
    assert (peer.connections, peer.per_connection, peer.reused) == (2, [1, 1], False)


def test_redirect_names_its_target() -> None:
    """The Location header is in the answer."""
    with HttpPeer([answer.redirect("http://elsewhere.example/")]) as peer, _client(peer) as client:
        client.request("GET", "/")
        with client.getresponse() as response:
            assert response.status == 302
            assert response.headers["Location"] == "http://elsewhere.example/"


def test_big_answers_have_their_size() -> None:
    """Announced bytes come, and a gzip body unpacks to what was asked for."""
    assert len(_ask(answer.oversize(1_000_000))[1]) == 1_000_000
    assert len(gzip.decompress(_ask(answer.gzip_bomb(3_000_000))[1])) == 3_000_000


def test_endless_chunks_do_not_end() -> None:
    """The body goes on until the client leaves, which ends the peer's thread too."""
    with HttpPeer([answer.endless_chunked()]) as peer, _client(peer) as client:
        client.request("GET", "/")
        with client.getresponse() as response:
            assert len(response.read(500_000)) == 500_000


def test_dripped_answers_are_slow_and_whole() -> None:
    """The body of ten bytes takes ten pauses; headers can drip, too."""
    start = time.monotonic()
    assert _ask(answer.drip(0.02, {"a": "b"})) == (200, b'{"a": "b"}')
    assert time.monotonic() - start >= 0.19
    assert _ask(answer.drip_headers(0.001))[0] == 200


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (answer.truncated_body(), http.client.IncompleteRead),
        (answer.non_http(), http.client.BadStatusLine),
        (answer.close_without_answer(), (http.client.RemoteDisconnected, ssl.SSLError)),
        (answer.reset(), (ConnectionResetError, http.client.RemoteDisconnected)),
        (answer.plain_tcp(), ssl.SSLError),
        (answer.raw(b"HTTP/1.1 200 OK\r\n\r\n", keep_open=False), None),
    ],
)
def test_broken_answers_break(script: Answer, error: type[Exception] | None) -> None:
    """Each fault reaches the client as the error that it is named after."""
    if error is None:
        assert _ask(script) == (200, b"")
        return
    with pytest.raises(error):
        _ask(script)


def _end_of_connection(port: int) -> bytes:
    """Send a request with TLS in memory, so that the bare TCP socket shows the end itself."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _context().wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", port), 5) as tcp:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                tcp.sendall(outgoing.read())
                incoming.write(tcp.recv(65_536))
        tls.write(b"GET / HTTP/1.1\r\n\r\n")
        tcp.sendall(outgoing.read())
        while data := tcp.recv(65_536):  # session tickets
            pass
        return data


@pytest.mark.wine_differs("it ends a connection without a reset")
def test_reset_is_told_from_an_end() -> None:
    """The ssl module shows both as an end of file; the TCP socket tells RST from FIN."""
    with HttpPeer([answer.close_without_answer()]) as peer:
        assert _end_of_connection(peer.port) == b""
    with HttpPeer([answer.reset()]) as peer, pytest.raises(ConnectionResetError):
        _end_of_connection(peer.port)


@pytest.mark.parametrize("before_tls", [False, True])
def test_silence_lasts(before_tls: bool) -> None:  # noqa: FBT001 - the parameter of a test
    """Nothing comes, with or without a TLS handshake, and the peer ends all the same."""
    with pytest.raises(TimeoutError):
        _ask(answer.silence(before_tls=before_tls), seconds=0.1)


def test_certificate_variants() -> None:
    """The right certificate is its own CA bundle; the wrong ones fail for their own reason."""
    with HttpPeer([answer.ok({})]) as peer, _client(peer, pem=certificate_pem()) as client:
        assert _get(client)[0] == 200
    wrong: dict[Variant, str] = {"wrong-name": "mismatch", "expired": "expired"}
    for variant, reason in wrong.items():
        pem = certificate_pem(variant)
        with (
            HttpPeer([answer.ok({})], certificate=variant) as peer,
            _client(peer, pem=pem) as client,
            pytest.raises(ssl.SSLCertVerificationError, match=reason),
        ):
            client.connect()
        assert peer.requests == []


def test_port_opens_later() -> None:
    """Connections are refused for a while, then served, on the port that was named before."""
    with HttpPeer([answer.ok({})], listen_after=0.15) as peer:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", peer.port), 1)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError), _client(peer) as client:
                assert _get(client)[0] == 200
                break
            time.sleep(0.02)
    assert len(peer.requests) == 1
