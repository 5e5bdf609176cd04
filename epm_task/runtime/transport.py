"""A transport carries one call to the agent; what goes wrong becomes an error of this package.

It is the only place that knows httpx: a successor of httpx changes this file and `wire`.
"""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.errors import AgentError, AgentProtocolError, UnsafeAgent
from epm_task.runtime import attestation
from epm_task.runtime.loopback import agent_address
from epm_task.runtime.tls import attested
from epm_task.runtime.wire import Wire, httpx

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

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

    Args:
        base_url: `https://` with a loopback host and a port.
        context: TLS context from `tls.client_context`.

    Raises:
        UnsafeAgent: The URL is another one.
    """

    def __init__(self, base_url: str, context: ssl.SSLContext) -> None:
        self.address: Final = agent_address(base_url)
        host, port = self.address
        self.url: Final = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        self._attested = attested(context)
        wire = Wire(self.address, context, self._check_listener, self._check_peer)
        # trust_env: a proxy variable, or a .netrc, must not see loopback traffic.
        self._client = httpx.Client(
            base_url=self.url,
            transport=wire,
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
                f"the certificate at {self.url} is refused ({cause.verify_message}); another "
                "program may hold the port, or --ca-file is not the CA of this agent"
            )
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return AgentProtocolError(self.url, f"no TLS is spoken there ({cause.reason})")
        reason = cause.strerror if isinstance(cause, OSError) else None
        return Unanswered(reason or str(error))

    def _check_listener(self) -> None:
        if self._attested:
            with _refusing_impostors():
                attestation.check_listener(*self.address)

    def _check_peer(self, secured: socket.socket) -> None:
        if self._attested:
            with _refusing_impostors():
                attestation.check_peer(secured)


@contextmanager
def _refusing_impostors() -> Iterator[None]:
    try:
        yield
    except attestation.Untrusted as error:
        raise UnsafeAgent(str(error)) from error
