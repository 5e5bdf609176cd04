"""Send a call to the agent, and make a result or an error of its answer."""

from __future__ import annotations

import selectors
import ssl
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar
from urllib.parse import urlsplit

from epm_task.admin.answers import text, texts
from epm_task.admin.credential import Credential
from epm_task.admin.errors import (
    LOCAL_CREDENTIAL,
    AdminError,
    AdminUnreachable,
    CredentialRefused,
    ForeignAnswer,
    JobRefused,
    OutcomeUnknown,
    UnknownJob,
    UnsafeConnection,
    WrongUse,
)
from epm_task.contract.json_text import BadJson, parse_object, write_json
from epm_task.errors import sentence
from epm_task.runtime.agent.address import base_url_address, origin
from epm_task.runtime.agent.tls import Dialer, attested
from epm_task.runtime.agent.transport import Wire, httpx
from epm_task.runtime.attestation.attestation import Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


T = TypeVar("T")

#: The agent's validator looks for binaries, which an anti-virus program may slow down.
CALL_SECONDS: Final = 30.0
#: The list of all jobs: some thousands of documents of a few KiB.
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
#: An answer to the client certificate takes one round trip on loopback.
_REFUSAL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """What is sent, and how its answer is read; *read* raises BadJson when it cannot.

    With *changes* the agent may have changed something when no answer comes.
    """

    method: str
    path: str
    read: Callable[[dict[str, Any]], T]
    body: Mapping[str, Any] | None = None
    job_id: str = ""
    changes: bool = False

    def __str__(self) -> str:
        """Return `POST /api/Jobs`."""
        return f"{self.method} {self.path}"


class Exchange:
    """Calls to one agent, one after the other, from any thread.

    Args:
        base_url: `https://127.0.0.1:PORT`.
        credential: The client certificate, its key, and the CA of the agent.
        call_seconds: Longest time for one call, from the connect to the end of the answer.
        allow_remote: Take a host off loopback; needs `credential.ca`.

    Raises:
        UnsafeConnection: The URL is another one, or a file is not safe.
        WrongUse: A file of the credential is not what it must be.
    """

    def __init__(
        self,
        base_url: str,
        credential: Credential | None = None,
        *,
        call_seconds: float = CALL_SECONDS,
        allow_remote: bool = False,
    ) -> None:
        address = admin_address(base_url, allow_remote=allow_remote)
        self.url: Final = origin(address)
        credential = credential or Credential()
        context = credential.tls_context()
        if allow_remote and attested(context):
            raise WrongUse("a remote agent needs a CA that names it", fix="give one with --cacert")
        self._certified = credential.certificate is not None
        self._call_seconds = call_seconds
        self._dialer = Dialer(address, context)
        self._wire = Wire(self._dial, max_body_bytes=MAX_ANSWER_BYTES)
        # trust_env: a proxy variable, or a .netrc, must not see what an administrator sends.
        self._client = httpx.Client(
            base_url=self.url,
            transport=self._wire,
            trust_env=False,
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )
        self._lock = threading.Lock()

    def send(self, call: Call[T]) -> T:
        """Send one call and return its result; nothing is sent twice, except a GET.

        Raises:
            AdminError: The class says what happened.
        """
        content = _as_json(call)
        headers = {} if content is None else {"Content-Type": "application/json"}
        with self._lock:
            if call.method != "GET":
                # A connection that was idle may be closed already; a lost POST is not repeated.
                self._wire.close()
            deadline = time.monotonic() + self._call_seconds
            try:
                answer = self._client.request(
                    call.method,
                    call.path,
                    content=content,
                    headers=headers,
                    extensions={"deadline": deadline},
                )
            except httpx.TransportError as error:
                raise self._failure(call, error) from error
        return self._result(call, answer)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _result(self, call: Call[T], answer: httpx.Response) -> T:
        status, place = answer.status_code, self.url + call.path
        if answer.is_redirect:
            target = answer.extensions["location"][:80]
            raise ForeignAnswer(place, f"a redirect ({status}) to {target!r}, not followed")
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise CredentialRefused(str(call), self._why_refused(status), status=status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise self._unanswered(call, f"it answered {status}")
        try:
            # A deletion may be answered with nothing at all.
            found = parse_object(answer.content) if answer.content else {}
            if answer.is_success:
                return call.read(found)
        except BadJson as error:
            why = f"an answer {status} whose JSON was not used: {sentence(error.what, error.why)}"
            raise ForeignAnswer(place, why) from error
        if status == HTTPStatus.BAD_REQUEST:
            said = text(found, "message") or text(found, "error") or "it gave no reason"
            raise JobRefused(str(call), texts(found, "errors") or (said,))
        if status == HTTPStatus.NOT_FOUND:
            raise UnknownJob(str(call), call.job_id)
        raise ForeignAnswer(place, f"an answer {status}")

    def _why_refused(self, status: int) -> str:
        shown = "no client certificate was shown"
        if self._certified:
            shown = "the client certificate that was shown does not have it"
        return (
            f"{status}, over a TLS connection that works, so neither the network nor the agent's "
            f"certificate is the cause: the call needs the Admin tier, and {shown}"
        )

    def _unanswered(self, call: Call[T], why: str) -> AdminError:
        if call.changes:
            return OutcomeUnknown(str(call), self.url, why)
        return AdminUnreachable(self.url, why)

    def _failure(self, call: Call[T], error: Exception) -> AdminError:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return unsafe_peer(self.url, cause)
        # OpenSSL's mnemonic, such as TLSV1_ALERT_UNKNOWN_CA, tells what the peer has refused.
        reason = (cause.reason or "") if isinstance(cause, ssl.SSLError) else ""
        if isinstance(cause, _HungUp) or "_ALERT_" in reason:
            return CredentialRefused(
                str(call),
                f"it ended the TLS handshake ({reason or cause}) when it saw the client "
                "certificate, which is not one of a CA that this agent trusts",
                status=0,
            )
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return ForeignAnswer(self.url, f"it does not speak TLS ({reason or cause})")
        if isinstance(error, httpx.RemoteProtocolError):
            return ForeignAnswer(self.url + call.path, f"the answer is refused: {error}")
        why = (cause.strerror if isinstance(cause, OSError) else None) or str(error)
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return AdminUnreachable(self.url, why)
        return self._unanswered(call, why)

    def _dial(self, deadline: float) -> ssl.SSLSocket:
        try:
            secured = self._dialer.connect(deadline)
        except Untrusted as error:
            raise unsafe_peer(self.url, error) from error
        if self._certified:
            try:
                _hear_refusal(secured)
            except BaseException:
                secured.close()
                raise
        return secured


def unsafe_peer(url: str, error: Untrusted | ssl.SSLCertVerificationError) -> UnsafeConnection:
    """Return the error for a peer at *url* that is not known to be the agent."""
    if isinstance(error, Untrusted):
        return UnsafeConnection(error.what, error.why, f"{error.fix} with --cacert")
    return UnsafeConnection(
        f"the certificate at {url} is refused, so nothing was sent",
        error.verify_message,
        "give the CA of this agent with --cacert (its certificate is new at each start of its "
        f"service), unless another program holds the port; {LOCAL_CREDENTIAL}",
    )


def _as_json(call: Call[T]) -> bytes | None:
    if call.body is None:
        return None
    try:
        # Not httpx's own: the digits of a number stay as the author wrote them.
        return write_json(call.body)
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongUse(
            f"{call} was not sent, as its body is not JSON", str(error), "pass plain JSON values"
        ) from None


def _hear_refusal(secured: ssl.SSLSocket) -> None:
    # In TLS 1.3 the server judges the client certificate after the client's handshake is over. Its
    # refusal would reach a request that is under way, and nobody could tell what became of that.
    if secured.version() != "TLSv1.3":
        return
    with selectors.DefaultSelector() as selector:
        selector.register(secured, selectors.EVENT_READ)
        if not selector.select(_REFUSAL_SECONDS):
            return
    secured.settimeout(0)
    try:
        ended = not secured.recv(1)
    except ssl.SSLWantReadError:  # session tickets: the certificate was taken
        return
    except ConnectionError:
        ended = True
    if ended:
        raise _HungUp("it closed the connection")


class _HungUp(ConnectionResetError):
    """The peer closed the connection when it had seen the client certificate."""


def admin_address(base_url: str, *, allow_remote: bool = False) -> tuple[str, int]:
    """Return host and port of `https://HOST:PORT`, off loopback with *allow_remote* only.

    Raises:
        UnsafeConnection: The URL is another one.
    """
    try:
        if allow_remote:
            url = urlsplit(base_url)
            host = url.hostname or ""
            host.encode("idna")  # as a socket does; UnicodeError is a ValueError
            odd = not host.isprintable() or set(url.netloc) & set("@%")
            if host and url.scheme == "https" and not odd:
                return host, url.port or 443
        return base_url_address(base_url)
    except ValueError as error:
        raise UnsafeConnection(
            f"the base URL {base_url[:80]!r} was not used",
            str(error),
            "give https://127.0.0.1:PORT, with the port that KestrelHttpsPort of the agent's "
            "appsettings.json names",
        ) from None
