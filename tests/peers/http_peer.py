"""An HTTPS server for tests that answers by a script, and keeps what its clients sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from peers.http_answer import Answer, Exchange
from peers.listener import Listener
from peers.tls import Variant, server_context

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


class HttpPeer:
    """A context manager around a scripted HTTPS server on 127.0.0.1.

    Attributes:
        requests: Every request as raw bytes, in the order of arrival.
        arrivals: When each came, in seconds of the monotonic clock.
    """

    def __init__(
        self,
        script: Sequence[Answer],
        *,
        certificate: Variant = "ip-san",
        listen_after: float = 0,
        handshake_after: float = 0,
    ) -> None:
        """Take the answers, used in order, the last one for ever; see `http_answer`.

        A TLS handshake is begun *handshake_after* seconds after its connection was accepted.
        """
        assert script, "a script has at least one answer"
        self._script = list(script)
        self._answered = 0
        self._context = server_context(certificate)
        self._handshake_after = handshake_after
        self._listener = Listener(self._serve, listen_after=listen_after)
        self.port = self._listener.port
        self.base_url = f"https://127.0.0.1:{self.port}"
        self.requests: list[bytes] = []
        self.arrivals: list[float] = []
        self._counts: list[list[None]] = []

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()

    @property
    def per_connection(self) -> list[int]:
        """Per accepted connection, how many requests it carried."""
        return [len(count) for count in self._counts]

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted."""
        return self._listener.accepted

    @property
    def reused(self) -> bool:
        """Whether any connection carried more than one request."""
        return any(count > 1 for count in self.per_connection)

    def _serve(self, accepted: socket.socket) -> None:
        count: list[None] = []
        self._counts.append(count)
        if self._next().before_tls:
            self._answer(accepted)
            return
        if self._listener.stopping.wait(self._handshake_after):
            return
        with self._context.wrap_socket(accepted, server_side=True) as sock:
            while request := _read_request(sock):
                self.requests.append(request)
                self.arrivals.append(time.monotonic())
                count.append(None)
                if not self._answer(sock):
                    return

    def _answer(self, sock: socket.socket) -> bool:
        answer = self._next()
        self._answered += 1
        return answer.send(Exchange(sock, self._listener.stopping))

    def _next(self) -> Answer:
        return self._script[min(self._answered, len(self._script) - 1)]


def _read_request(sock: socket.socket) -> bytes:
    """Return one request with its body, empty when the client has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := sock.recv(65_536)):
            return b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    missing = _content_length(head) - len(rest)
    while missing > 0 and (more := sock.recv(missing)):
        data += more
        missing -= len(more)
    return data


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0
