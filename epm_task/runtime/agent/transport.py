"""Send one call to the agent, and turn what goes wrong into an error of this package.

It is the only place that knows httpx; a successor of httpx changes this file.

httpx has no total time-out and no limit for a body, and its own transport offers no moment between
the TLS handshake and the request. This one has all three, and imports neither httpcore nor anyio.
"""

from __future__ import annotations

import http.client
import io
import ssl
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.errors import AgentError, AgentProtocolError, UnsafeAgent
from epm_task.runtime.agent.address import agent_address, origin
from epm_task.runtime.agent.tls import Dialer, seconds_left
from epm_task.runtime.attestation.attestation import Untrusted
from epm_task.runtime.start_up import slim_import

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
        # trust_env: a proxy variable, or a .netrc, must not see loopback traffic.
        self._client = httpx.Client(
            base_url=self.url,
            transport=Wire(self._dial),
            trust_env=False,
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )
        self._lock = threading.Lock()

    def call(
        self, method: str, path: str, *, body: object = None, seconds: float = CALL_SECONDS
    ) -> Answer:
        """Send one request and return the answer, whatever its status.

        Raises:
            Unanswered: No answer in *seconds*, or the connection failed.
            AgentProtocolError: The answer is not HTTP, encoded, or larger than 1 MiB.
            UnsafeAgent: Somebody else than the agent holds the port, or its certificate is refused.
        """
        deadline = time.monotonic() + seconds
        try:
            with self._lock:
                response = self._client.request(
                    method, path, json=body, extensions={"deadline": deadline}
                )
        except httpx.RemoteProtocolError as error:
            raise AgentProtocolError(self.url + path, f"the answer is refused: {error}") from error
        except httpx.TransportError as error:
            raise self._explained(error) from error
        location = response.headers.get("Location", "")
        return Answer(response.status_code, response.content, location)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

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
    refused.
    """

    def __init__(
        self, dial: Callable[[float], ssl.SSLSocket], *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._dial = dial
        self._max_body_bytes = max_body_bytes
        self._connection: http.client.HTTPConnection | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* and return the whole answer, before `extensions["deadline"]`.

        Raises:
            httpx.ConnectError: No connection, or no TLS; `__cause__` says why.
            httpx.TimeoutException: The deadline (`time.monotonic()`) passed.
            httpx.ReadError: The connection ended before the answer did.
            httpx.RemoteProtocolError: The answer is not HTTP, encoded, or too large.
        """
        deadline: float = request.extensions["deadline"]
        reused = self._connection is not None
        try:
            return self._exchange(request, deadline)
        except httpx.ReadError as error:
            # A kept-alive connection may have been closed while it was idle; reading again is safe.
            if not (reused and request.method == "GET" and isinstance(error, _Closed)):
                raise
            return self._exchange(request, deadline)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, request: httpx.Request, deadline: float) -> httpx.Response:
        connection = self._connection or self._connect(request, deadline)
        self._connection = None  # comes back only after a whole answer
        try:
            connection.sock.deadline = deadline  # type: ignore[union-attr]  # see `_connect`
            connection.request(
                request.method,
                request.url.raw_path.decode("ascii"),
                request.read() or None,
                {
                    name.decode("ascii"): value.decode("ascii")
                    for name, value in request.headers.raw
                },
            )
            response = self._read(request, connection.getresponse())
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError | http.client.HTTPException):
                raise _translated(error, request) from error
            raise
        if connection.sock is not None:  # http.client drops it when the answer asks for that
            self._connection = connection
        return response

    def _connect(self, request: httpx.Request, deadline: float) -> http.client.HTTPConnection:
        try:
            secured = self._dial(deadline)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time", request=request) from error
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        connection = http.client.HTTPConnection("")
        connection.sock = _BoundedSocket(secured, deadline)
        return connection

    def _read(self, request: httpx.Request, answer: http.client.HTTPResponse) -> httpx.Response:
        length = answer.length
        if length is not None and length > self._max_body_bytes:
            raise httpx.RemoteProtocolError(f"a body of {length} bytes", request=request)
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise httpx.RemoteProtocolError(f"an encoded body ({encoding[:20]})", request=request)
        body = answer.read(self._max_body_bytes + 1)
        if len(body) > self._max_body_bytes:
            size = self._max_body_bytes >> 20
            raise httpx.RemoteProtocolError(f"a body larger than {size} MiB", request=request)
        if length is not None and len(body) < length:  # read(n) does not complain, unlike read()
            raise http.client.IncompleteRead(body, length - len(body))
        answer.read()  # the end of a chunked body, so that the connection can be used again
        return httpx.Response(answer.status, headers=answer.getheaders(), content=body)


class _Closed(httpx.ReadError):
    """The peer closed the connection without a byte of an answer."""


class _BoundedSocket(io.RawIOBase):
    """What http.client needs of a socket, each wait cut to what is left until the deadline."""

    def __init__(self, secured: ssl.SSLSocket, deadline: float) -> None:
        self._secured = secured
        self.deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a reader that leaves the socket open when it is closed."""
        return io.BufferedReader(_BoundedReader(self))

    def sendall(self, data: bytes) -> None:
        """Send *data* before the deadline; TimeoutError when that is over."""
        self._secured.settimeout(seconds_left(self.deadline))
        self._secured.sendall(data)

    def receive_into(self, buffer: memoryview) -> int:
        """Receive what is there, at least one byte; 0 at the end of the stream."""
        self._secured.settimeout(seconds_left(self.deadline))
        return self._secured.recv_into(buffer)

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
    return httpx.RemoteProtocolError(f"not HTTP ({type(error).__name__})", request=request)
