"""The tiers tell what a 403 is about: each is asked for with what gives it, and without."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from epm_task.admin.answers import Presence
from epm_task.admin.call import Call
from epm_task.admin.doctor.finding import Finding, fault, note, of_error, ok
from epm_task.admin.errors import AdminError, CredentialRefused
from epm_task.runtime.system_settings import SYSTEM_PLUGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.case import Case

#: Any call that needs the Plugin tier; its answer is not looked at.
_SETTINGS: Final = Call("GET", f"/api/PluginSettings/{SYSTEM_PLUGIN}", Presence.read)


def check_health(case: Case) -> Iterator[Finding]:
    """Ask what anyone may ask."""
    if not case.listening:
        return
    try:
        with case.client(certified=False) as client:
            found = client.health()
    except AdminError as error:
        yield of_error("health", error)
        return
    case.answers = True
    yield ok("health", f"{found.status or 'it answers'}, version {found.version or 'not told'}")


def check_plugin_tier(case: Case) -> Iterator[Finding]:
    """Ask for settings, which only processes that the agent has started may read."""
    if not case.answers:
        return
    try:
        with case.client(certified=False) as client:
            client.send(_SETTINGS)
    except CredentialRefused:
        yield note(
            "Plugin tier",
            "403 for this shell, as it must be: the agent did not start this process, so a task "
            "that is started by hand, or by a wrapper, gets 403 and ends with exit code 77",
            "start the task as a job: epm-task jobs trigger ID --wait, or try it with epm-task run",
        )
    except AdminError as error:
        yield of_error("Plugin tier", error)
    else:
        yield ok("Plugin tier", "this process has it: the agent started it, or trusts its tree")


def check_admin_tier(case: Case) -> Iterator[Finding]:
    """Ask for the jobs with the client certificate."""
    if not case.answers or case.settings.credential.certificate is None:
        return
    try:
        with case.client(certified=True) as client:
            count = client.list_jobs().count
    except CredentialRefused as error:
        yield _refused(case, error)
    except AdminError as error:
        yield of_error("Admin tier", error)
    else:
        yield ok("Admin tier", f"the client certificate gives it; the agent has {count} jobs")


def _refused(case: Case, error: CredentialRefused) -> Finding:
    if error.status == HTTPStatus.FORBIDDEN:
        seen = "403 with this client certificate, while /health answers: it is the Admin tier, not "
        seen += "TLS and not the network"
    else:
        seen = "the agent ends the TLS handshake when it sees this client certificate, which is "
        seen += "not from a CA that it trusts"
    try:
        certificate = case.settings.credential.read_certificate()
    except AdminError:
        certificate = None
    issuer = f" (issued by {certificate.issuer_name!r})" if certificate else ""
    return fault(
        "Admin tier",
        seen + issuer,
        "get the certificate for this agent from your Keeper deployment team; at some sites the "
        "caller must run as an administrator too",
    )
