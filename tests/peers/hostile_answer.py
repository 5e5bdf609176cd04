"""Answers that no agent gives: heads, lengths, chunks and redirects that Python stumbles over."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from peers.http_answer import Answer, Exchange, raw

if TYPE_CHECKING:
    from collections.abc import Iterator

_OK: Final = b"HTTP/1.1 200 OK\r\n"
_LENGTH: Final = b"Content-Length: 2\r\n\r\n{}"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_DIGITS: Final = b"9" * 5000
#: Python looks for the boundary of a multipart body, in the character set that it is said to have.
_BOUNDARY: Final = b"Content-Type: multipart/x; boundary"


def _redirect(target: bytes) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: " + target + b"\r\nContent-Length: 0\r\n\r\n"


def _chunks(data: bytes) -> bytes:
    return _OK + _CHUNKED + b"\r\n" + data


#: By what is wrong: the whole answer, after which the connection stays open.
HOSTILE: Final[dict[str, bytes]] = {
    "empty status line": b"\r\n\r\n",
    "zeros": bytes(64) + b"\r\n",
    "other protocol": b"RTSP/1.0 200 OK\r\n\r\n",
    "other version": b"HTTP/2 200 OK\r\n" + _LENGTH,
    "status in words": b"HTTP/1.1 abc OK\r\n" + _LENGTH,
    "negative status": b"HTTP/1.1 -200 OK\r\n" + _LENGTH,
    "status of two digits": b"HTTP/1.1 99 OK\r\n" + _LENGTH,
    "status of four digits": b"HTTP/1.1 1000 OK\r\n" + _LENGTH,
    "status of 5000 digits": b"HTTP/1.1 " + _DIGITS + b" OK\r\n" + _LENGTH,
    "superscript status": b"HTTP/1.1 \xb2\xb9\xb2 OK\r\n" + _LENGTH,
    "long status line": b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n" + _LENGTH,
    "other protocol from now on": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "hint before the answer": b"HTTP/1.1 103 Early Hints\r\n\r\n" + _OK + _LENGTH,
    "many headers": _OK + b"X: y\r\n" * 200 + _LENGTH,
    "many headers of 100": b"HTTP/1.1 100 Continue\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "long header": _OK + b"X: " + b"y" * 70_000 + b"\r\n" + _LENGTH,
    "latin header": _OK + b"X-A: \xe9\r\n" + _LENGTH,
    "UTF-8 header": _OK + "X-A: é\r\n".encode() + _LENGTH,
    "latin name of a header": _OK + b"X-\xe9: a\r\n" + _LENGTH,
    "no name of a header": _OK + b": a\r\n" + _LENGTH,
    "no colon in a header": _OK + b"X\r\n" + _LENGTH,
    "blank before a colon": _OK + b"Content-Length : 2\r\n\r\n{}",
    "folded first header": _OK + b" X: y\r\n" + _LENGTH,
    "envelope in the headers": _OK + b"X: y\r\nFrom somebody\r\n" + _LENGTH,
    "no boundary": _OK + b"Content-Type: multipart/mixed\r\n" + _LENGTH,
    "boundary of 5000 digits": _OK + _BOUNDARY + b"*" + _DIGITS + b"=x\r\n" + _LENGTH,
    "boundary without a codec": _OK + _BOUNDARY + b"*=undefined''%41\r\n" + _LENGTH,
    "boundary with a zero": _OK + _BOUNDARY + b"*=a\0b''%41\r\n" + _LENGTH,
    "negative length": _OK + b"Content-Length: -5\r\n\r\n{}",
    "length with a sign": _OK + b"Content-Length: +2\r\n\r\n{}",
    "length with an underscore": _OK + b"Content-Length: 0_2\r\n\r\n{}",
    "length in words": _OK + b"Content-Length: two\r\n\r\n{}",
    "empty length": _OK + b"Content-Length: \r\n\r\n{}",
    "length of 5000 digits": _OK + b"Content-Length: " + _DIGITS + b"\r\n\r\n{}",
    "length of 4000 digits": _OK + b"Content-Length: " + _DIGITS[:4000] + b"\r\n\r\n{}",
    "two lengths": _OK + b"Content-Length: 20\r\n" + _LENGTH,
    "lengths in a list": _OK + b"Content-Length: 2, 2\r\n\r\n{}",
    "length and chunks": _OK + _CHUNKED + b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": _OK + _CHUNKED + _CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "other coding": _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "folded coding": _OK + b"Transfer-Encoding: chunked,\r\n x\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "control characters in the encoding": _OK + b"Content-Encoding: \x1b[31m\r\n" + _LENGTH,
    "empty encoding": _OK + b"Content-Encoding: \r\n" + _LENGTH,
    "body that is no gzip": _OK + b"Content-Encoding: gzip\r\n" + _LENGTH,
    "chunk of -5": _chunks(b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk of -1": _chunks(b"-1\r\nhello\r\n0\r\n\r\n"),
    "chunk in words": _chunks(b"two\r\n{}\r\n0\r\n\r\n"),
    "chunk without a size": _chunks(b"\r\n{}\r\n0\r\n\r\n"),
    "chunk with a prefix": _chunks(b"0x2\r\n{}\r\n0\r\n\r\n"),
    "chunk with an underscore": _chunks(b"0_2\r\n{}\r\n0\r\n\r\n"),
    "chunk larger than memory": _chunks(b"f" * 16 + b"\r\n{}"),
    "chunk larger than a word": _chunks(b"f" * 5000 + b"\r\n{}"),
    "chunk larger than the limit": _chunks(b"4000000\r\n{}"),
    "chunk longer than its size": _chunks(b"2\r\n{}{}0\r\n\r\n"),
    "long size of a chunk": _chunks(b"2;" + b"x" * 70_000 + b"\r\n{}\r\n0\r\n\r\n"),
    "long trailer": _chunks(b"2\r\n{}\r\n0\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"),
    "redirect without a host": _redirect(b"https:foo"),
    "redirect to an open bracket": _redirect(b"https://[::1"),
    "redirect to a host in brackets": _redirect(b"https://[x]/"),
    "redirect to a port in words": _redirect(b"https://127.0.0.1:port/"),
    "redirect to a large port": _redirect(b"https://127.0.0.1:99999/"),
    "redirect to a latin host": _redirect(b"https://\xe9\xbd/"),
    "redirect with control characters": _redirect(b"https://a\x1b[31m\0/"),
    "redirect to a long label": _redirect(b"https://" + b"a" * 64 + b".example/"),
    "redirect to a bad name": _redirect(b"https://xn--\xff/"),
    "redirect to a long place": _redirect(b"https://h/" + b"x" * 65_520),
    "redirect to another scheme": _redirect(b"gopher:x"),
    "redirect to nowhere": _redirect(b""),
    "choices": b"HTTP/1.1 300 Multiple Choices\r\n" + _LENGTH,
}

#: What an agent may send although ours does not.
UNUSUAL: Final[dict[str, bytes]] = {
    "latin reason": b"HTTP/1.1 200 Tr\xe8s bien\r\n" + _LENGTH,
    "no reason": b"HTTP/1.1 200\r\n" + _LENGTH,
    "character set that is none": _OK + b"Content-Type: text/x; charset=nobody\r\n" + _LENGTH,
    "folded header": _OK + b"X: y\r\n z\r\n" + _LENGTH,
    "cookies": _OK + b"Set-Cookie: a=b; expires=x; max-age=y; version=\r\n" * 3 + _LENGTH,
    "go on first": b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + _LENGTH,
    "blanks around the length": _OK + b"Content-Length:  2 \r\n\r\n{}",
    "chunk with an extension": _chunks(b"02 ;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n"),
}


def endless_continue() -> Answer:
    """Send "100 Continue" for ever, each of them with as many headers as Python takes."""
    block = b"HTTP/1.1 100 Continue\r\n" + (b"X: " + b"y" * 10_000 + b"\r\n") * 90 + b"\r\n"
    return _endless(b"", block)


def endless_trailers() -> Answer:
    """Send a body of one chunk, and trailers for ever."""
    return _endless(_chunks(b"2\r\n{}\r\n0\r\n"), (b"X: " + b"y" * 10_000 + b"\r\n") * 90)


def _endless(once: bytes, again: bytes) -> Answer:
    def send(exchange: Exchange) -> bool:
        exchange.sock.sendall(once)
        while not exchange.stopping.is_set():
            exchange.sock.sendall(again)
        return False

    return Answer(send)


#: What mutations put into an answer.
_TOKENS: Final = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"-", b"\xe9", b"\xff\xfe", b"\x1b[31m", b"9" * 30),
    *(b"chunked", b"gzip", b"multipart/x", b"charset", b"Location: https:x\r\n", b"100", b"302"),
    *(b"-1\r\n", b"{", b'"', b"\\ud800", b"NaN", b"[" * 2000),
)


def mutations(seed: int, count: int, body: bytes) -> Iterator[bytes]:
    """Yield valid answers with *body*, sized or in chunks, each changed in up to four places."""
    source = random.Random(seed)
    sized = b"%sContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s"
    half = len(body) // 2
    parts = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:], b"")]
    valid = (sized % (_OK, len(body), body), _chunks(b"".join(parts)))
    for _ in range(count):
        data = bytearray(source.choice(valid))
        for _ in range(source.randint(1, 4)):
            begin = source.randrange(len(data) + 1)
            end = min(begin + source.choice((0, 0, 1, 1, 2, 8, 40)), len(data))
            copied = bytes(data[begin:end]) * 2
            data[begin:end] = source.choice((*_TOKENS, b"", bytes([source.randrange(256)]), copied))
        yield bytes(data)


def closing(data: bytes) -> Answer:
    """Answer with exactly these bytes, then close: nothing of them is waited for."""
    return raw(data, keep_open=False)
