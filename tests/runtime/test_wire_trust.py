"""The wire asks whom it talks to, before the connect and before the request."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer

from epm_task.runtime.agent.transport import Wire, httpx
from epm_task.runtime.tls import client_context

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


def test_distrusted_listener_gets_no_packet() -> None:
    """The listener is checked before the TCP connect."""

    def refuse() -> None:
        raise PermissionError("an impostor")

    with (
        HttpPeer([OK]) as peer,
        _client(peer.port, check_listener=refuse) as client,
        pytest.raises(PermissionError),
    ):
        _get(client)
    assert peer.connections == 0


def test_distrusted_peer_gets_no_request() -> None:
    """The peer is checked after the handshake, before the first byte of the request."""
    states: list[str | None] = []

    def refuse(secured: socket.socket) -> None:
        states.append(secured.version())
        raise LookupError("an impostor")

    with (
        HttpPeer([OK]) as peer,
        _client(peer.port, check_peer=refuse) as client,
        pytest.raises(LookupError),
    ):
        _get(client)
    assert states == ["TLSv1.3"]
    assert (peer.connections, peer.requests) == (1, [])


def test_distrusted_peer_of_the_system_is_a_connect_error() -> None:
    """An operating system's error in the check counts as a failed connect."""

    def gone(_: socket.socket) -> None:
        raise ConnectionResetError("closed before it was identified")

    with (
        HttpPeer([OK]) as peer,
        _client(peer.port, check_peer=gone) as client,
        pytest.raises(httpx.ConnectError, match="before it was identified"),
    ):
        _get(client)
