"""TLS works when the certificate at the port is the agent's, and the one that we show is valid."""

from __future__ import annotations

import os
import socket
import ssl
import sys
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import psutil

from epm_task.admin.answers import Presence
from epm_task.admin.credential import Certificate, Credential, read_certificate
from epm_task.admin.doctor.finding import Finding, fault, note, of_error, ok, unknown
from epm_task.admin.errors import AdminError, CredentialRefused
from epm_task.admin.exchange import Call, admin_address
from epm_task.admin.settings import DEFAULT_BASE_URL
from epm_task.contract.json_text import read_object
from epm_task.contract.names import PLUGIN_SETTINGS_PATH, SYSTEM_PLUGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.finding import Case
    from epm_task.runtime.attestation.sockets import SocketOwner


_NAME: Final = "TLS"
_SECONDS: Final = 2.0


def check_tls(case: Case) -> Iterator[Finding]:
    """Shake hands without a client certificate, and look at the agent's."""
    if not case.listening:
        return
    ca = case.settings.credential.ca
    try:
        context = Credential(ca=ca).tls_context()
        version, certificate = _shake_hands(case.base_url, context)
    except AdminError as error:
        yield of_error(_NAME, error)
    except ssl.SSLCertVerificationError as error:
        yield fault(
            _NAME,
            f"the certificate at {case.base_url} is refused ({error.verify_message})",
            "export the CA of this agent anew: its certificate changes at each start of the "
            "service; without --cacert the owner of the port is checked instead",
        )
    except ssl.SSLError as error:
        yield fault(
            _NAME,
            f"no TLS is spoken at {case.base_url} ({error.reason})",
            "another program holds the port, or it is the agent's HTTP port",
        )
    except OSError as error:
        yield fault(_NAME, f"no connection to {case.base_url} ({error})", "see the port")
    else:
        yield _judge(version, certificate, verified=ca is not None)


def check_credential(case: Case) -> Iterator[Finding]:
    """Look at the files of the credential, and at the dates of the client certificate."""
    credential = case.settings.credential
    try:
        credential.tls_context()
        certificate = credential.read_certificate()
    except AdminError as error:
        yield of_error("credential", error)
        return
    if certificate is None:
        yield note(
            "credential",
            "no client certificate was given, so the Admin tier is not examined",
            "give --cert and --key, or EPM_TASK_ADMIN_CERT and _KEY",
        )
        return
    yield ok(
        "credential",
        f"{credential.certificate} ({certificate.common_name}) was issued by "
        f"{certificate.issuer_name} and ends on {certificate.ends:%Y-%m-%d}",
    )


def _shake_hands(base_url: str, context: ssl.SSLContext) -> tuple[str, Certificate | None]:
    host, port = admin_address(base_url)
    with (
        socket.create_connection((host, port), _SECONDS) as opened,
        context.wrap_socket(opened, server_hostname=host) as secured,
    ):
        data = secured.getpeercert(binary_form=True)
        return secured.version() or "", read_certificate(data) if data else None


def _judge(version: str, certificate: Certificate | None, *, verified: bool) -> Finding:
    why = certificate.out_of_date(datetime.now(UTC)) if certificate else ""
    if why:
        return fault(
            _NAME, f"the agent's certificate is out of date: {why}", "restart the agent's service"
        )
    how = "verified by --cacert" if verified else "not verified: no --cacert was given"
    name = certificate.common_name if certificate else "no name"
    return ok(_NAME, f"{version}, certificate {name!r}, {how}")


_NAME_CHECK_ROOT: Final = "agent root"


def check_root(case: Case) -> Iterator[Finding]:
    """Look at the folders, and take the port from `appsettings.json` when none was given."""
    root = case.root
    if root is None:
        yield unknown(
            _NAME_CHECK_ROOT,
            "no folder of an agent was found in the usual places, so its files are not examined",
            "give it with --agent-root",
        )
        return
    if not root.path.is_dir():
        yield fault(_NAME_CHECK_ROOT, f"{root.path} is no folder", "correct --agent-root")
        case.root = None
        return
    missing = [str(path) for path in (root.jobs, root.jobs_bin) if not path.is_dir()]
    if missing:
        yield fault(
            _NAME_CHECK_ROOT,
            f"{' and '.join(missing)} is missing",
            "install the agent, or correct the root",
        )
    elif not os.access(root.jobs, os.R_OK | os.X_OK):
        yield unknown(
            _NAME_CHECK_ROOT, f"{root.jobs} cannot be read by this user", "run this as root"
        )
    else:
        yield ok(_NAME_CHECK_ROOT, str(root.path))
    yield from _port(case)


def _port(case: Case) -> Iterator[Finding]:
    root = case.root
    if root is None:
        return
    try:
        port = root.read_ports()[0]
    except ValueError as error:
        yield unknown(
            _NAME_CHECK_ROOT, f"{root.appsettings}: {error}", "give --base-url with the port"
        )
        return
    if port is None:
        return
    named = f"https://127.0.0.1:{port}"
    if case.base_url == DEFAULT_BASE_URL:
        case.base_url = named
    elif not case.base_url.rstrip("/").endswith(f":{port}"):
        yield note(
            _NAME_CHECK_ROOT,
            f"{root.appsettings} names port {port}, and {case.base_url} was given",
            f"give --base-url {named}, if this is the same agent",
        )


_NAME_CHECK_PORT: Final = "port"


def check_port(case: Case) -> Iterator[Finding]:
    """Tell who listens."""
    host, port = admin_address(case.base_url)
    try:
        found = find_listener(host, port)
    except OSError as error:
        case.listening = True
        yield unknown(_NAME_CHECK_PORT, f"nobody can tell who holds {host}:{port} ({error})")
        return
    if found is None:
        yield fault(
            _NAME_CHECK_PORT,
            f"nobody listens on {host}:{port}: the agent is down, or has another port",
            "start the agent's service; KestrelHttpsPort of appsettings.json is its port",
        )
    elif not found.trusted:
        yield fault(
            _NAME_CHECK_PORT,
            f"{host}:{port} is held by {found.who}, which is neither the system nor your own "
            "user: it may pose as the agent",
            "stop that process, then start the agent's service",
        )
    else:
        case.listening = True
        yield ok(_NAME_CHECK_PORT, f"{host}:{port} is held by {found.who}")


#: Any call that needs the Plugin tier; its answer is not looked at.
_SETTINGS: Final = Call("GET", f"{PLUGIN_SETTINGS_PATH}/{SYSTEM_PLUGIN}", Presence.read)


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


if sys.platform == "linux":
    from epm_task.runtime.attestation import linux as kernel
else:
    from epm_task.runtime.attestation import windows_and_macos as kernel


class Listener(NamedTuple):
    """Who listens on one port.

    Attributes:
        trusted: Whether it runs as the system, or as this user.
        who: Account and process, in words.
    """

    trusted: bool
    who: str


def find_listener(host: str, port: int) -> Listener | None:
    """Return who would accept a connection, None when nobody would.

    Raises:
        OSError: The kernel does not tell.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    owners = kernel.listeners(socket.inet_pton(family, host), port)
    foreign = [owner for owner in owners if not owner.trusted]
    owner = next(iter(foreign or owners), None)
    return Listener(owner.trusted, _words(owner)) if owner else None


def _words(owner: SocketOwner) -> str:
    pid = owner.pid or (kernel.find_pid(owner.inode) if owner.inode else None)
    if pid is None:
        return f"{owner.name}, a process that this user may not see"
    try:
        return f"{owner.name}, process {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"{owner.name}, process {pid}"


def check_plugins(case: Case) -> Iterator[Finding]:
    """Look for the JSON of each plugin in the agent's folder."""
    for plugin in case.plugins:
        if plugin == SYSTEM_PLUGIN:
            continue
        if case.root is None:
            yield unknown("plugin", f"whether the agent knows {plugin} only its folder tells")
            continue
        file = case.root.plugins / f"{plugin}.json"
        try:
            read_object(file)
        except ValueError as error:
            yield _unusable(plugin, f"{file}: {error}", exists=file.exists())
        else:
            yield ok("plugin", f"{plugin} has its settings in {file}")


def _unusable(plugin: str, what: str, *, exists: bool) -> Finding:
    if exists:
        return fault("plugin", what, "correct the file, then revert the plugin's settings")
    return unknown(
        "plugin",
        f"{what}: unless a policy or the agent itself defines {plugin}, it is not registered, and "
        "a task that asks for its settings ends with exit code 66",
        f"deploy the plugin {plugin}, or correct plugin= of the task's settings",
    )
