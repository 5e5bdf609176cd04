"""Call the Job Management API of one agent: `with AdminClient(…) as admin: admin.list_jobs()`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import quote

from epm_task.admin.answers import Document, Done, JobList, Presence, Reloaded, Started, Verdict
from epm_task.admin.errors import JobRefused, UnknownJob, WrongUse
from epm_task.admin.exchange import Call, Exchange
from epm_task.contract.client_id import check_job_id
from epm_task.errors import BadJobId

if TYPE_CHECKING:
    from collections.abc import Mapping

_JOBS: Final = "/api/Jobs"
_PLUGINS: Final = "/api/plugins"


class AdminClient(Exchange):
    """The endpoints of one agent, as methods; each raises an `AdminError` when it has no result.

    They may be called from any thread, and wait for each other. `Exchange` has the arguments.
    """

    def list_jobs(self) -> JobList:
        """Return all jobs of the agent."""
        return self.send(Call("GET", _JOBS, JobList.read))

    def get_job(self, job_id: str) -> Document:
        """Return the document of one job, as the agent has it."""
        return self.send(Call("GET", _path(job_id), dict, job_id=job_id))

    def find_job(self, job_id: str) -> Document | None:
        """Return the document of one job, None when the agent has none of this id."""
        try:
            return self.get_job(job_id)
        except UnknownJob:
            return None

    def save_job(self, document: Mapping[str, object]) -> Done:
        """Create the job that the document's `id` names, or replace it."""
        job_id = str(document.get("id", ""))
        read = partial(Done.read, job_id)
        return self.send(Call("POST", _JOBS, read, document, job_id, changes=True))

    def replace_job(self, job_id: str, document: Mapping[str, object]) -> Done:
        """Replace a job that exists; *job_id* counts, not the document's `id`."""
        read = partial(Done.read, job_id)
        return self.send(Call("PUT", _path(job_id), read, document, job_id, changes=True))

    def delete_job(self, job_id: str) -> Done:
        """Delete a job; its binary stays."""
        read = partial(Done.read, job_id)
        return self.send(Call("DELETE", _path(job_id), read, None, job_id, changes=True))

    def validate_job(self, document: Mapping[str, object]) -> Verdict:
        """Return the verdict of the agent's full validator; nothing is stored."""
        return self.send(Call("POST", f"{_JOBS}/validate", Verdict.read, document))

    def trigger_job(self, job_id: str, context: Mapping[str, object] | None = None) -> Started:
        """Start a run with *context* as its event context."""
        path, read = _path(job_id) + "/trigger", partial(Started.read, job_id)
        return self.send(Call("POST", path, read, context or {}, job_id, changes=True))

    def run_job(self, job_id: str) -> Started:
        """Start a run without a context."""
        path, read = _path(job_id) + "/run", partial(Started.read, job_id)
        return self.send(Call("POST", path, read, None, job_id, changes=True))

    def reload_jobs(self) -> Reloaded:
        """Let the agent read its folder `Jobs/` again."""
        return self.send(Call("POST", f"{_JOBS}/reload", Reloaded.read, changes=True))

    def start_plugin(self, plugin: str) -> Presence:
        """Start a plugin, such as `KeeperLogger`."""
        return self._command(plugin, "start")

    def stop_plugin(self, plugin: str) -> Presence:
        """Stop a plugin."""
        return self._command(plugin, "stop")

    def restart_plugin(self, plugin: str) -> Presence:
        """Stop and start a plugin, as after a change of its JSON on disk."""
        return self._command(plugin, "restart")

    def _command(self, plugin: str, verb: str) -> Presence:
        if not plugin.strip("."):
            raise WrongUse(f"{plugin!r} is not a plugin", fix="give its id, such as KeeperLogger")
        path = f"{_PLUGINS}/{quote(plugin, safe='')}/{verb}"
        return self.send(Call("POST", path, Presence.read, changes=True))

    def service(self) -> Presence:
        """Return what the agent says it is; no credential is needed."""
        return self.send(Call("GET", "/", Presence.read))

    def health(self) -> Presence:
        """Return whether the agent is healthy; no credential is needed."""
        return self.send(Call("GET", "/health", Presence.read))

    def system_status(self) -> Presence:
        """Return the numbers of plugins and jobs; no credential is needed."""
        return self.send(Call("GET", "/api/system/status", Presence.read))


def _path(job_id: str) -> str:
    try:
        return f"{_JOBS}/{quote(check_job_id(job_id), safe='')}"
    except BadJobId as error:
        raise WrongUse.of(error) from None


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
    """What became of one job, with the agent's warnings of what it took."""

    job_id: str
    change: Change
    warnings: tuple[str, ...] = ()


def apply_job(admin: AdminClient, document: Mapping[str, Any], *, dry_run: bool = False) -> Applied:
    """Create or replace the job, unless the agent has it already; *dry_run* only says so.

    Raises:
        AdminError: The agent refuses the document, or cannot be asked.
    """
    job_id = str(document.get("id", ""))
    present = admin.find_job(job_id)
    change: Change = "created" if present is None else "updated"
    if present is not None and same_document(present, document):
        return Applied(job_id, "unchanged")
    return Applied(job_id, change, () if dry_run else admin.save_job(document).warnings)


def same_document(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two documents are the same JSON; the order of the fields does not count."""
    # As text, because Python takes True for 1 and 1.0 for 1.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
