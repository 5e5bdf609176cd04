"""An admin client calls the Job Management API and waits for each answer.

The function is written once. On an `AdminClient` the method returns the result, on an
`AsyncAdminClient` what is awaited for it; type checkers know which.

Its calls run in a few threads, each on a connection of its own. So the TLS handshake, the check of
who holds the port, the total time and the limit of an answer exist once, in `Exchange`.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypeAlias,
    TypeVar,
    overload,
)
from urllib.parse import quote

from epm_task.admin.answers import (
    Document,
    Done,
    JobList,
    Presence,
    Reloaded,
    Started,
    Verdict,
    text,
    texts,
)
from epm_task.admin.credential import Credential
from epm_task.admin.errors import JobRefused, UnknownJob, WrongUse
from epm_task.admin.exchange import CALL_SECONDS, Call, Exchange
from epm_task.contract.client_id import check_job_id
from epm_task.errors import BadJobId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping


P = ParamSpec("P")
T = TypeVar("T")


class Endpoint(Generic[P, T]):
    """A descriptor; the class attribute of a client.

    Args:
        make: Returns the call for the arguments of the method.
    """

    def __init__(self, make: Callable[P, Call[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: AdminClient, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncAdminClient, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Return the method of *client*."""
        if client is None:
            return self

        @wraps(self._make)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self._make(*args, **kwargs))

        return method


_JOBS: Final = "/api/Jobs"


def list_jobs() -> Call[JobList]:
    """Return all jobs of the agent."""
    return Call("GET", _JOBS, JobList.read)


def get_job(job_id: str) -> Call[Document]:
    """Return the document of one job, as the agent has it."""
    return Call("GET", _path(job_id), _as_it_is, job_id=job_id)


def save_job(document: Mapping[str, object]) -> Call[Done]:
    """Create the job that the document's `id` names, or replace it."""
    job_id = str(document.get("id", ""))
    return Call("POST", _JOBS, _done(job_id), document, job_id, changes=True)


def replace_job(job_id: str, document: Mapping[str, object]) -> Call[Done]:
    """Replace a job that exists; *job_id* counts, not the document's `id`."""
    return Call("PUT", _path(job_id), _done(job_id), document, job_id, changes=True)


def delete_job(job_id: str) -> Call[Done]:
    """Delete a job; its binary stays."""
    return Call("DELETE", _path(job_id), _done(job_id), None, job_id, changes=True)


def validate_job(document: Mapping[str, object]) -> Call[Verdict]:
    """Return the verdict of the agent's full validator; nothing is stored."""
    return Call("POST", f"{_JOBS}/validate", Verdict.read, document)


def trigger_job(job_id: str, context: Mapping[str, object] | None = None) -> Call[Started]:
    """Start a run with *context* as its event context."""
    path = _path(job_id) + "/trigger"
    return Call("POST", path, _started(job_id), context or {}, job_id, changes=True)


def run_job(job_id: str) -> Call[Started]:
    """Start a run without a context."""
    return Call("POST", _path(job_id) + "/run", _started(job_id), None, job_id, changes=True)


def reload_jobs() -> Call[Reloaded]:
    """Let the agent read its folder `Jobs/` again."""
    return Call("POST", f"{_JOBS}/reload", Reloaded.read, changes=True)


def service() -> Call[Presence]:
    """Return what the agent says it is; no credential is needed."""
    return Call("GET", "/", Presence.read)


def health() -> Call[Presence]:
    """Return whether the agent is healthy; no credential is needed."""
    return Call("GET", "/health", Presence.read)


def system_status() -> Call[Presence]:
    """Return the numbers of plugins and jobs; no credential is needed."""
    return Call("GET", "/api/system/status", Presence.read)


class Endpoints:
    """The methods that both clients have; `Endpoint` says how they differ."""

    list_jobs = Endpoint(list_jobs)
    get_job = Endpoint(get_job)
    save_job = Endpoint(save_job)
    replace_job = Endpoint(replace_job)
    delete_job = Endpoint(delete_job)
    validate_job = Endpoint(validate_job)
    trigger_job = Endpoint(trigger_job)
    run_job = Endpoint(run_job)
    reload_jobs = Endpoint(reload_jobs)
    service = Endpoint(service)
    health = Endpoint(health)
    system_status = Endpoint(system_status)


def _path(job_id: str) -> str:
    try:
        return f"{_JOBS}/{quote(check_job_id(job_id), safe='')}"
    except BadJobId as error:
        raise WrongUse(str(error)) from None


def _as_it_is(found: Document) -> Document:
    return found


def _done(job_id: str) -> Callable[[Document], Done]:
    def read(found: Document) -> Done:
        named = text(found, "jobId") or job_id
        return Done(named, text(found, "message"), texts(found, "warnings"))

    return read


def _started(job_id: str) -> Callable[[Document], Started]:
    def read(found: Document) -> Started:
        named = text(found, "jobId") or job_id
        return Started(named, text(found, "runId"), text(found, "message"))

    return read


class AdminClient(Endpoints):
    """The API of one agent; `with AdminClient(…) as admin: admin.list_jobs()`.

    Args:
        base_url: `https://127.0.0.1:PORT`.
        credential: The client certificate, its key, and the CA of the agent.
        call_seconds: Longest time for one call.
        allow_remote: Take a host off loopback; needs `credential.ca`.

    Raises:
        AdminError: On each call, and for a credential or an address that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        credential: Credential | None = None,
        *,
        call_seconds: float = CALL_SECONDS,
        allow_remote: bool = False,
    ) -> None:
        self._exchange = Exchange(
            base_url,
            credential or Credential(),
            call_seconds=call_seconds,
            allow_remote=allow_remote,
        )
        self.url = self._exchange.url

    def send(self, call: Call[T]) -> T:
        """Send a call that an endpoint has made, and return its result."""
        return self._exchange.send(call)

    def close(self) -> None:
        """Close the connection."""
        self._exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


#: One agent on loopback answers in milliseconds; more calls at once would only wait there.
_CONNECTIONS: Final = 4


class AsyncAdminClient(Endpoints):
    """The API of one agent; `async with AsyncAdminClient(…) as admin: await admin.list_jobs()`.

    A call that is cancelled may still reach the agent, as with any network call.

    Args:
        base_url: `https://127.0.0.1:PORT`.
        credential: The client certificate, its key, and the CA of the agent.
        call_seconds: Longest time for one call.
        allow_remote: Take a host off loopback; needs `credential.ca`.

    Raises:
        AdminError: On each call, and for a credential or an address that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        credential: Credential | None = None,
        *,
        call_seconds: float = CALL_SECONDS,
        allow_remote: bool = False,
    ) -> None:
        self._idle = deque(
            Exchange(
                base_url,
                credential or Credential(),
                call_seconds=call_seconds,
                allow_remote=allow_remote,
            )
            for _ in range(_CONNECTIONS)
        )
        self.url = self._idle[0].url
        self._threads = ThreadPoolExecutor(_CONNECTIONS, "epm-admin")

    async def send(self, call: Call[T]) -> T:
        """Send a call that an endpoint has made, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._send, call)

    async def aclose(self) -> None:
        """Wait for the calls under way and close the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        for exchange in self._idle:
            exchange.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _send(self, call: Call[T]) -> T:
        exchange = self._idle.pop()  # there are as many as threads
        try:
            return exchange.send(call)
        finally:
            self._idle.append(exchange)


def live_verdicts(admin: AdminClient, documents: Iterable[Mapping[str, object]]) -> list[Verdict]:
    """Return the verdict on each document, in order; nothing is stored.

    Raises:
        AdminError: The agent cannot be asked.
    """
    return [live_verdict(admin, document) for document in documents]


def live_verdict(admin: AdminClient, document: Mapping[str, object]) -> Verdict:
    """Return the verdict on one document; a refusal to read it at all is one too.

    Raises:
        AdminError: The agent cannot be asked.
    """
    try:
        return admin.validate_job(document)
    except JobRefused as error:
        return Verdict(valid=False, errors=error.errors, job_id=str(document.get("id", "")))


Change: TypeAlias = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done for one document.

    Attributes:
        job_id: The job.
        change: What became of it.
        warnings: What the agent took, and doubts.
    """

    job_id: str
    change: Change
    warnings: tuple[str, ...] = ()


def apply_job(admin: AdminClient, document: Mapping[str, Any], *, dry_run: bool = False) -> Applied:
    """Create or replace the job, unless the agent has the same document already.

    Args:
        admin: The agent's client.
        document: The job; its `id` names it.
        dry_run: Only say what would be done.

    Raises:
        AdminError: The agent refuses the document, or cannot be asked.
    """
    job_id = str(document.get("id", ""))
    change = planned_change(admin, document)
    if change == "unchanged" or dry_run:
        return Applied(job_id, change)
    return Applied(job_id, change, admin.save_job(document).warnings)


def planned_change(admin: AdminClient, document: Mapping[str, Any]) -> Change:
    """Return what applying the document would do.

    Raises:
        AdminError: The agent cannot be asked.
    """
    try:
        present = admin.get_job(str(document.get("id", "")))
    except UnknownJob:
        return "created"
    return "unchanged" if same_document(present, document) else "updated"


def same_document(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two documents are the same JSON; the order of the fields does not count."""
    # As text, because Python takes True for 1 and 1.0 for 1.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
