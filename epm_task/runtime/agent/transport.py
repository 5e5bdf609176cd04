"""Send one call to the agent, and turn what goes wrong into an error of this package.

It is the only place that knows httpx; a successor of httpx changes this file.

httpx has no total time-out and no limit for a body, and its own transport offers no moment between
the TLS handshake and the request. This one has all three, and imports neither httpcore nor anyio.
"""

from __future__ import annotations

import http.client
import io
import json
import ssl
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from epm_task.errors import AgentError, AgentProtocolError, SystemExhausted, UnsafeAgent
from epm_task.runtime.agent.address import agent_address, origin
from epm_task.runtime.agent.tls import Dialer, seconds_left
from epm_task.runtime.attestation.attestation import Untrusted
from epm_task.runtime.start_up import slim_import
from epm_task.runtime.stop import in_forked_children

with slim_import("httpx"):
    import httpx

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["CALL_SECONDS", "MAX_BODY_BYTES", "Answer", "Transport", "Unanswered", "Wire", "httpx"]

#: A healthy agent answers in milliseconds.
CALL_SECONDS: Final = 10.0


class Unanswered(AgentError):
    """A call that got no usable answer, and that may get one when it is tried again."""


class Answer(NamedTuple):
    """What the agent answered: the status, the whole body, the target of a redirect."""

    status: int
    body: bytes
    location: str


class Transport:
    """Calls to one agent, over one kept-alive connection, from any thread.

    Raises:
        UnsafeAgent: The URL is not `https://` with a loopback host and a port.
    """

    def __init__(self, base_url: str, context: ssl.SSLContext) -> None:
        self.address: Final = agent_address(base_url)
        self.url: Final = origin(self.address)
        self._dialer = Dialer(self.address, context)
        self._wire = Wire(self._dial)
        # trust_env: a proxy variable, or a .netrc, must not see loopback traffic.
        self._client = httpx.Client(
            base_url=self.url,
            transport=self._wire,
            trust_env=False,
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )
        self._lock = threading.Lock()
        in_forked_children(self._become_child)

    def call(
        self, method: str, path: str, *, body: object = None, seconds: float = CALL_SECONDS
    ) -> Answer:
        """Send one request and return the answer, whatever its status.

        Raises:
            Unanswered: No answer in *seconds*, or the connection failed.
            AgentProtocolError: The answer is not HTTP, encoded, or larger than 1 MiB.
            UnsafeAgent: Somebody else than the agent holds the port, or its certificate is refused.
            SystemExhausted: The process can have no more descriptors.
        """
        deadline = time.monotonic() + seconds
        # Not httpx's own: JSON carries a lone surrogate, as an escape, and UTF-8 does not.
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        extensions = {"deadline": deadline}
        try:
            with self._lock:
                response = self._client.request(
                    method, path, content=content, headers=headers, extensions=extensions
                )
        except httpx.RemoteProtocolError as error:
            raise AgentProtocolError(self.url + path, f"the answer is refused: {error}") from error
        except httpx.TransportError as error:
            raise SystemExhausted.of(error) or self._explained(error) from error
        return Answer(response.status_code, response.content, response.extensions["location"])

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _become_child(self) -> None:
        self._lock = threading.Lock()  # a thread of the parent may have held the other one
        self._wire.close()  # two processes cannot share one TLS session

    def _explained(self, error: Exception) -> AgentError:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UnsafeAgent(
                f"the certificate at {self.url} is refused",
                cause.verify_message,
                "check which program holds the port, and that --ca-file is the CA of this agent",
            )
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return AgentProtocolError(self.url, f"it does not speak TLS ({cause.reason})")
        reason = cause.strerror if isinstance(cause, OSError) else None
        return Unanswered(
            f"no answer from {self.url}", reason or str(error), "check that the agent runs"
        )

    def _dial(self, deadline: float) -> ssl.SSLSocket:
        try:
            return self._dialer.connect(deadline)
        except Untrusted as error:
            raise UnsafeAgent(error.what, error.why, f"{error.fix} with --ca-file") from error


#: The agent's answers are a few KiB.
MAX_BODY_BYTES: Final = 1024 * 1024


class Wire(httpx.BaseTransport):
    """One connection, opened when it is needed and kept for the next request.

    *dial* makes it, before a moment of `time.monotonic()`; a body of more than *max_body_bytes* is
    refused, and so is an answer of more than twice as many.
    """

    def __init__(
        self, dial: Callable[[float], ssl.SSLSocket], *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._dial = dial
        self._max_body_bytes = max_body_bytes
        self._stream: _BoundedSocket | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* and return the whole answer, before `extensions["deadline"]`.

        Of the headers only the target of a redirect comes back, as `extensions["location"]`: httpx
        would parse it, and cookies, as for a web site, and fail at odd ones.

        Raises:
            httpx.ConnectError: No connection, or no TLS; `__cause__` says why.
            httpx.TimeoutException: The deadline (`time.monotonic()`) passed.
            httpx.ReadError: The connection ended before the answer did.
            httpx.RemoteProtocolError: The answer is not HTTP, encoded, or too large.
        """
        deadline: float = request.extensions["deadline"]
        reused = self._stream is not None
        try:
            return self._exchange(request, deadline)
        except httpx.ReadError as error:
            # A kept-alive connection may have been closed while it was idle; reading again is safe.
            if not (reused and request.method == "GET" and isinstance(error, _Closed)):
                raise
            return self._exchange(request, deadline)

    def close(self) -> None:
        """Close the connection."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _exchange(self, request: httpx.Request, deadline: float) -> httpx.Response:
        stream = self._stream or self._connect(request, deadline)
        self._stream = None  # comes back only after a whole answer
        sent = False
        try:
            stream.begin(deadline, 2 * self._max_body_bytes)
            _send(request, stream)
            sent = True
            # Not `getresponse`, which closes the stream before a last answer is read.
            answer = http.client.HTTPResponse(stream, method=request.method)  # type: ignore[arg-type]
            answer.begin()
            response = self._read(answer, stream)
        except BaseException as error:
            stream.close()
            # Python's parsers raise about an answer whatever comes: ValueError, UnicodeError, …
            if isinstance(error, OSError) or (sent and isinstance(error, Exception)):
                raise _translated(error, request) from error
            raise
        if answer.will_close:
            stream.close()
        else:
            self._stream = stream
        return response

    def _connect(self, request: httpx.Request, deadline: float) -> _BoundedSocket:
        try:
            return _BoundedSocket(self._dial(deadline))
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time", request=request) from error
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error

    def _read(self, answer: http.client.HTTPResponse, stream: _BoundedSocket) -> httpx.Response:
        if stream.ended:  # http.client takes a head that was cut off for a whole one
            raise http.client.IncompleteRead(b"")
        _check_head(answer)
        length, limit = answer.length, self._max_body_bytes
        if length is not None and length > limit:
            raise _Refused(f"a body of {length} bytes")
        body = _read_chunks(answer.fp, limit) if answer.chunked else answer.read(limit + 1)
        if len(body) > limit:
            raise _Refused(_too_large(limit))
        if length is not None and len(body) < length:  # read(n) does not complain, unlike read()
            raise http.client.IncompleteRead(body, length - len(body))
        location = answer.getheader("Location", "")
        return httpx.Response(answer.status, content=body, extensions={"location": location})


def _send(request: httpx.Request, stream: _BoundedSocket) -> None:
    connection = http.client.HTTPConnection("")
    connection.sock = stream
    connection.request(
        request.method,
        request.url.raw_path.decode("ascii"),
        request.read() or None,
        {name.decode("ascii"): value.decode("ascii") for name, value in request.headers.raw},
    )


class _Refused(http.client.HTTPException):
    """An answer that HTTP does not allow, or that is not wanted; the text says why."""


def _too_large(limit: int) -> str:
    return f"a body larger than {limit >> 20} MiB"


def _check_head(answer: http.client.HTTPResponse) -> None:
    """Refuse a head that no agent sends, or of which http.client guesses where the body ends."""
    headers = answer.headers
    if headers.defects or not all(f"{name}{value}".isascii() for name, value in headers.items()):
        raise _Refused("not HTTP (its headers)")
    if answer.status < HTTPStatus.OK:  # another answer follows; 100 is skipped by http.client
        raise _Refused(f"the interim status {answer.status}")
    encoding = headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise _Refused(f"an encoded body ({encoding[:20]})")
    lengths = headers.get_all("Content-Length", [])
    codings = headers.get_all("Transfer-Encoding", [])
    plain = all(text.strip().isdecimal() and len(text) <= _MAX_DIGITS for text in lengths)
    if len(lengths + codings) > 1 or len(codings) != answer.chunked or not plain:
        raise _Refused("a body of unknown length")


#: More than any length has, and less than Python refuses to read.
_MAX_DIGITS: Final = 20
#: http.client's own limit for a line of the head.
_MAX_LINE_BYTES: Final = 65_536
_HEX: Final = b"0123456789abcdefABCDEF"


def _read_chunks(source: BinaryIO, limit: int) -> bytes:
    """Return a body in chunks, read to the end of its trailers.

    http.client fails at a chunk of -5 bytes, takes one of -1 for all that comes, and 0x2 for 2.
    """
    body = bytearray()
    while size := _chunk_size(source):
        if len(body) + size > limit:
            raise _Refused(_too_large(limit))
        chunk = source.read(size + 2)
        if len(chunk) < size + 2:
            raise http.client.IncompleteRead(chunk)
        if not chunk.endswith(b"\r\n"):
            raise _Refused("not HTTP (a chunk longer than its size)")
        body += chunk[:-2]
    while _line(source).strip(b"\r\n"):
        pass
    return bytes(body)


def _chunk_size(source: BinaryIO) -> int:
    text = _line(source).partition(b";")[0].strip()
    if text.strip(_HEX):
        raise _Refused("not HTTP (the size of a chunk)")
    return int(text, 16)  # ValueError when it is empty


def _line(source: BinaryIO) -> bytes:
    line = source.readline(_MAX_LINE_BYTES + 1)
    if len(line) > _MAX_LINE_BYTES:
        raise http.client.LineTooLong("chunk")
    if not line.endswith(b"\n"):
        raise http.client.IncompleteRead(line)
    return line


class _Closed(httpx.ReadError):
    """The peer closed the connection without a byte of an answer."""


class _BoundedSocket(io.RawIOBase):
    """What http.client needs of a socket, each wait cut to what is left until the deadline."""

    def __init__(self, secured: ssl.SSLSocket) -> None:
        self._secured = secured

    def begin(self, deadline: float, most_bytes: int) -> None:
        """Begin an exchange, which ends before *deadline*, with an answer of *most_bytes*."""
        self._deadline = deadline
        self._bytes_left = most_bytes
        self.ended = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a reader that leaves the socket open when it is closed."""
        return io.BufferedReader(_BoundedReader(self))

    def sendall(self, data: bytes) -> None:
        """Send *data* before the deadline; TimeoutError when that is over."""
        self._secured.settimeout(seconds_left(self._deadline))
        self._secured.sendall(data)

    def receive_into(self, buffer: memoryview) -> int:
        """Receive what is there, at least one byte; 0 at the end of the stream."""
        self._secured.settimeout(seconds_left(self._deadline))
        count = self._secured.recv_into(buffer)
        self.ended = not count
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise _Refused("an answer without an end")
        return count

    def close(self) -> None:
        """Close the connection."""
        self._secured.close()
        super().close()


class _BoundedReader(io.RawIOBase):
    """The reading side of a bounded socket, one for each answer."""

    def __init__(self, source: _BoundedSocket) -> None:
        self._source = source

    def readable(self) -> bool:
        """Return True, as `io` asks."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Receive into *buffer*, as `io` asks."""
        return self._source.receive_into(buffer)


def _translated(error: Exception, request: httpx.Request) -> httpx.TransportError:
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout("no complete answer in time", request=request)
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError | BrokenPipeError):
        return _Closed("the connection was closed", request=request)
    if isinstance(error, http.client.IncompleteRead | OSError):
        return httpx.ReadError("the answer ended too early", request=request)
    why = str(error) if isinstance(error, _Refused) else f"not HTTP ({type(error).__name__})"
    return httpx.RemoteProtocolError(why, request=request)
