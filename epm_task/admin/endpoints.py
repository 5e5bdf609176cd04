"""The endpoints are the agent's Job Management API, beside the three that are public."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
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
from epm_task.admin.call import Call
from epm_task.admin.endpoint import Endpoint
from epm_task.admin.errors import WrongUse
from epm_task.errors import BadJobId
from epm_task.runtime.client_id import check_job_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
