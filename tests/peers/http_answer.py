"""The ways, right and wrong, in which an HTTP peer answers one request."""

from __future__ import annotations

import gzip
import json
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

_CHUNK = 65_536


@dataclass(frozen=True)
class Exchange:
    """What an answer has to work with: the connection, and the event that ends every wait."""

    sock: socket.socket
    stopping: threading.Event


@dataclass(frozen=True)
class Answer:
    """Sends something; `send` returns whether the connection can carry another request."""

    send: Callable[[Exchange], bool]
    #: Instead of the TLS handshake, not after it.
    before_tls: bool = False


def raw(data: bytes, *, keep_open: bool = True) -> Answer:
    """Answer with exactly these bytes."""

    def send(exchange: Exchange) -> bool:
        exchange.sock.sendall(data)
        return keep_open

    return Answer(send)


def ok(document: Mapping[str, object]) -> Answer:
    """Answer 200 with a JSON object."""
    return raw(_message(200, json.dumps(document).encode()))


def body(data: bytes, *, content_type: str = "application/json") -> Answer:
    """Answer 200 with these bytes as the body."""
    return raw(_message(200, data, f"Content-Type: {content_type}"))


def status(code: int, data: bytes = b'{"error":"scripted"}') -> Answer:
    """Answer with this status code."""
    return raw(_message(code, data))


def redirect(location: str, code: int = 302) -> Answer:
    """Answer with a redirect to *location*."""
    return raw(_message(code, b"", f"Location: {location}"))


def oversize(size: int) -> Answer:
    """Answer 200 with a JSON text of *size* bytes, announced as such."""

    def send(exchange: Exchange) -> bool:
        exchange.sock.sendall(_head(200, f"Content-Length: {size}") + b'{"a":"')
        left = size - 8
        while left > 0 and not exchange.stopping.is_set():
            exchange.sock.sendall(b"x" * min(left, _CHUNK))
            left -= _CHUNK
        exchange.sock.sendall(b'"}')
        return True

    return Answer(send)


def endless_chunked() -> Answer:
    """Answer 200 with chunks that never end."""

    def send(exchange: Exchange) -> bool:
        exchange.sock.sendall(_head(200, "Transfer-Encoding: chunked"))
        while not exchange.stopping.is_set():
            exchange.sock.sendall(b"%x\r\n" % _CHUNK + b" " * _CHUNK + b"\r\n")
        return False

    return Answer(send)


def gzip_bomb(size: int = 300_000_000) -> Answer:
    """Answer 200 with a gzip body that unpacks to *size* bytes."""
    # Equal members may follow each other: one megabyte is packed once.
    member = gzip.compress(bytes(1_000_000))
    return raw(_message(200, member * (size // 1_000_000), "Content-Encoding: gzip"))


def drip(seconds_per_byte: float, document: Mapping[str, object] | None = None) -> Answer:
    """Answer 200 with a body that comes byte by byte."""
    data = json.dumps(document or {"broker.host": "127.0.0.1"}).encode()
    return _dripped(_head(200, f"Content-Length: {len(data)}"), data, seconds_per_byte)


def drip_headers(seconds_per_byte: float) -> Answer:
    """Answer with headers that come byte by byte."""
    return _dripped(b"", _message(200, b"{}"), seconds_per_byte)


def truncated_body() -> Answer:
    """Answer 200, announce 1000 bytes, send 10, close."""
    return raw(_head(200, "Content-Length: 1000") + b'{"broker.h', keep_open=False)


def non_http() -> Answer:
    """Answer with a line that is not HTTP."""
    return raw(b"220 mail.example ESMTP ready\r\n", keep_open=False)


def close_without_answer() -> Answer:
    """Read the request, then close."""
    return raw(b"", keep_open=False)


def reset() -> Answer:
    """Read the request, then end the connection with a TCP reset."""

    def send(exchange: Exchange) -> bool:
        # SO_LINGER of zero seconds makes the last close send RST instead of FIN.
        exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return Answer(send)


def silence(*, before_tls: bool = False) -> Answer:
    """Read the request, or not even the TLS handshake, and never answer."""

    def send(exchange: Exchange) -> bool:
        exchange.stopping.wait()
        return False

    return Answer(send, before_tls)


def deaf() -> Answer:
    """Answer 200, and read nothing more of an open connection."""

    def send(exchange: Exchange) -> bool:
        exchange.sock.sendall(_message(200, b"{}"))
        exchange.stopping.wait()
        return False

    return Answer(send)


def plain_tcp() -> Answer:
    """Answer in clear text, where the client expects a TLS handshake."""

    def send(exchange: Exchange) -> bool:
        exchange.sock.recv(_CHUNK)
        exchange.sock.sendall(_message(400, b""))
        return False

    return Answer(send, before_tls=True)


def _dripped(at_once: bytes, slowly: bytes, seconds_per_byte: float) -> Answer:
    def send(exchange: Exchange) -> bool:
        exchange.sock.sendall(at_once)
        for value in slowly:
            if exchange.stopping.wait(seconds_per_byte):
                return False
            exchange.sock.sendall(bytes([value]))
        return True

    return Answer(send)


def _message(code: int, data: bytes, *headers: str) -> bytes:
    return _head(code, f"Content-Length: {len(data)}", *headers) + data


def _head(code: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Scripted", "Server: peer", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")
