"""Check the agent: its folder, its port, TLS, the two tiers, and its broker.

An AdminError that a check lets through is a fault of that check.
"""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import psutil

from epm_task.admin.answers import Presence
from epm_task.admin.credential import Certificate, Credential, read_certificate
from epm_task.admin.doctor.finding import (
    Finding,
    State,
    is_there,
    ok,
    problem,
    read_there,
    unknown,
    warning,
)
from epm_task.admin.errors import (
    AdminError,
    AdminUnreachable,
    CredentialRefused,
    UnsafeConnection,
)
from epm_task.admin.exchange import Call, admin_address
from epm_task.admin.follow import BrokerRecords
from epm_task.admin.settings import DEFAULT_BASE_URL
from epm_task.contract.json_text import BadJson
from epm_task.contract.names import (
    BROKER_HOST,
    BROKER_PORT,
    PLUGIN_SETTINGS_PATH,
    SYSTEM_PLUGIN,
)
from epm_task.runtime.agent.address import loopback_ip
from epm_task.runtime.attestation.attestation import listeners, process_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from epm_task.admin.doctor.finding import Setup
    from epm_task.contract.layout import AgentRoot
    from epm_task.runtime.attestation import SocketOwner

_TLS_SECONDS: Final = 2.0
#: Any call that needs the Plugin tier; its answer is not looked at.
_SETTINGS: Final = Call("GET", f"{PLUGIN_SETTINGS_PATH}/{SYSTEM_PLUGIN}", Presence.read)
#: The vendor's default; the agent's settings decide, and only tasks may read them.
_DEFAULT_BROKER: Final = ("127.0.0.1", 8675)


def check_root(setup: Setup) -> Iterator[Finding]:
    """Look at the folders, and take the port from `appsettings.json` when none was given."""
    root = setup.root
    if root is None:
        yield unknown(
            "agent root",
            "no folder of an agent was found in the usual places, so its files are not examined",
            fix="give it with --agent-root",
        )
        return
    if not is_there(root.path) or not root.path.is_dir():
        yield problem("agent root", f"{root.path} is not a folder", fix="correct --agent-root")
        setup.root = None
        return
    if missing := [str(path) for path in (root.jobs, root.jobs_bin) if not is_there(path)]:
        fix = "install the agent, or correct the root"
        yield problem("agent root", f"{' and '.join(missing)} is missing", fix=fix)
    elif not os.access(root.jobs, os.R_OK | os.X_OK):
        what = f"{root.jobs} cannot be read by this user"
        yield unknown("agent root", what, fix="run this as root")
    else:
        yield ok("agent root", str(root.path))
    yield from _check_appsettings(setup, root)


def _check_appsettings(setup: Setup, root: AgentRoot) -> Iterator[Finding]:
    try:
        port, _ = root.read_ports()
    except BadJson as error:
        what = f"{root.appsettings}: {error.what}"
        yield unknown("agent root", what, error.why, fix="give --base-url with the port")
        return
    if port is None:
        return
    named = f"https://127.0.0.1:{port}"
    if setup.base_url == DEFAULT_BASE_URL:
        setup.base_url = named
    elif admin_address(setup.base_url)[1] != port:
        yield warning(
            "agent root",
            f"{root.appsettings} names port {port}, and {setup.base_url} was given",
            fix=f"give --base-url {named}, if this is the same agent",
        )


def check_port(setup: Setup) -> Iterator[Finding]:
    """Tell who listens."""
    found = _listener("port", "agent", admin_address(setup.base_url)) or problem(
        "port",
        f"nobody listens at {setup.base_url}",
        "the agent is down, or has another port",
        fix="start the agent's service; KestrelHttpsPort of appsettings.json is its port",
    )
    setup.listening = found.state is not State.PROBLEM
    setup.pid = _pid_at(admin_address(setup.base_url)) if setup.listening else None
    yield found


def _listener(check: str, role: str, address: tuple[str, int]) -> Finding | None:
    """Tell who would accept a connection, a foreign user before others; None means nobody."""
    host, port = address
    try:
        owner = _owner(address)
    except OSError as error:
        return unknown(check, f"nobody can tell who holds {host}:{port}", str(error))
    if owner is None:
        return None
    pid = process_of(owner)
    process = f"process {pid}" if pid else "a process that this user may not see"
    with suppress(psutil.Error, OSError):  # Windows closes some to everybody
        process += f" ({psutil.Process(pid).name()})" if pid else ""
    what = f"{host}:{port} is held by {owner.name}, {process}"
    if owner.trusted:
        return ok(check, what)
    why = f"it is neither the system nor your own user, and may pose as the {role}"
    return problem(check, what, why, fix="stop that process, then restart the agent's service")


def _owner(address: tuple[str, int]) -> SocketOwner | None:
    return min(listeners(*address), key=lambda one: one.trusted, default=None)


def _pid_at(address: tuple[str, int]) -> int | None:
    """Return the process that holds a port; None when this user may not see it."""
    with suppress(OSError):
        if owner := _owner(address):
            return process_of(owner)
    return None


def check_tls(setup: Setup) -> Iterator[Finding]:
    """Shake hands without a client certificate, and look at the agent's."""
    if not setup.listening:
        return
    ca = setup.settings.credential.ca
    context = Credential(ca=ca).tls_context()
    try:
        version, certificate = _shake_hands(setup.base_url, context)
    except ssl.SSLCertVerificationError as error:
        yield problem(
            "TLS",
            f"the certificate at {setup.base_url} is refused",
            error.verify_message,
            fix="export the CA of this agent anew: its certificate changes at each start of the "
            "service; without --cacert the owner of the port is checked instead",
        )
    except ssl.SSLError as error:
        yield problem(
            "TLS",
            f"no TLS is spoken at {setup.base_url}",
            error.reason or str(error),
            fix="another program holds the port, or it is the agent's HTTP port",
        )
    except OSError as error:
        yield problem("TLS", f"no connection to {setup.base_url}", str(error), fix="see the port")
    else:
        yield _judge(version, certificate, verified=ca is not None)


def _shake_hands(base_url: str, context: ssl.SSLContext) -> tuple[str, Certificate | None]:
    host, port = admin_address(base_url)
    with (
        socket.create_connection((host, port), _TLS_SECONDS) as opened,
        context.wrap_socket(opened, server_hostname=host) as secured,
    ):
        data = secured.getpeercert(binary_form=True)
        return secured.version() or "", read_certificate(data) if data else None


def _judge(version: str, certificate: Certificate | None, *, verified: bool) -> Finding:
    if why := certificate.out_of_date(datetime.now(UTC)) if certificate else "":
        what = "the agent's certificate is out of date"
        return problem("TLS", what, why, fix="restart the agent's service")
    how = "verified by --cacert" if verified else "not verified: no --cacert was given"
    name = certificate.common_name if certificate else "no name"
    return ok("TLS", f"{version}, certificate {name!r}, {how}")


def check_credential(setup: Setup) -> Iterator[Finding]:
    """Look at the files of the credential, and at the dates of the client certificate."""
    credential = setup.settings.credential
    credential.tls_context()
    certificate = credential.read_certificate()
    if certificate is None:
        yield unknown(
            "credential",
            "no client certificate was given, so the Admin tier is not examined",
            fix="give --cert and --key, or EPM_TASK_ADMIN_CERT and _KEY",
        )
        return
    yield ok(
        "credential",
        f"{credential.certificate} ({certificate.common_name}) was issued by "
        f"{certificate.issuer_name} and ends on {certificate.ends:%Y-%m-%d}",
    )


def check_health(setup: Setup) -> Iterator[Finding]:
    """Ask what anyone may ask."""
    if not setup.listening:
        return
    with setup.client(certified=False) as client:
        found = client.health()
    setup.answers = True
    yield ok("health", f"{found.status or 'it answers'}, version {found.version or 'not told'}")


def check_plugin_tier(setup: Setup) -> Iterator[Finding]:
    """Ask for settings, which only processes that the agent has started may read."""
    if not setup.answers:
        return
    try:
        with setup.client(certified=False) as client:
            client.send(_SETTINGS)
    except CredentialRefused:
        yield ok(
            "Plugin tier",
            "403 for this shell, as it must be",
            "the agent did not start this process, so a task that is started by hand, or by a "
            "wrapper, gets 403 and ends with exit code 77",
            fix="start the task as a job: epm-task jobs trigger ID --wait, or try it with "
            "epm-task run",
        )
    else:
        yield ok("Plugin tier", "this process has it: the agent started it, or trusts its tree")


def check_admin_tier(setup: Setup) -> Iterator[Finding]:
    """Ask for the jobs with the client certificate."""
    if not setup.answers or setup.settings.credential.certificate is None:
        return
    try:
        with setup.client(certified=True) as client:
            count = client.list_jobs().count
    except CredentialRefused as error:
        yield _refused(setup.settings.credential, error)
    else:
        yield ok("Admin tier", f"the client certificate gives it; the agent has {count} jobs")


def _refused(credential: Credential, error: CredentialRefused) -> Finding:
    certificate = credential.read_certificate()
    issuer = f" (issued by {certificate.issuer_name!r})" if certificate else ""
    if error.status == HTTPStatus.FORBIDDEN:
        what = "403 with this client certificate, while /health answers"
        why = "it is the Admin tier, not TLS and not the network"
    else:
        what = "the agent ends the TLS handshake when it sees this client certificate"
        why = "it is not from a CA that it trusts"
    return problem(
        "Admin tier",
        what,
        why + issuer,
        fix=f"{error.fix}; at some sites the caller must run as an administrator too",
    )


def check_broker(setup: Setup) -> Iterator[Finding]:
    """Connect as an administrator, where the broker is said to be, or where it is seen."""
    known = setup.broker or (_broker_on_disk(setup.root) if setup.root else None)
    candidates = [known] if known else [*_listening(setup), _DEFAULT_BROKER]
    seen: Finding | None = None
    for address in candidates:
        found = _examine_broker(address, setup)
        if found is not None and found.state is State.OK:
            yield found
            return
        seen = seen or found
    place = "{}:{}".format(*candidates[0])
    if seen is not None:
        yield seen
    elif known is not None:
        yield problem("broker", f"nobody listens on {place}", fix="restart the agent's service")
    else:
        yield unknown(
            "broker",
            "where the broker is only tasks may ask",
            "the agent's process holds no other port that this user can see, and nobody listens on "
            f"{place}, the usual place",
            fix="give --broker HOST:PORT, or run this as root",
        )


def _listening(setup: Setup) -> Iterator[tuple[str, int]]:
    """Yield where the agent's process accepts connections, without the ports of its API."""
    if setup.pid is None:
        return
    api = {admin_address(setup.base_url)[1]}
    with suppress(BadJson):
        api |= {port for port in (setup.root.read_ports() if setup.root else ()) if port}
    try:
        connections = psutil.Process(setup.pid).net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.laddr.port not in api:
            host = each.laddr.ip
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # read
            if ip := loopback_ip(host):
                yield ip, each.laddr.port


def _examine_broker(address: tuple[str, int], setup: Setup) -> Finding | None:
    """Tell who is there; None means nobody, or nobody that speaks MQTT over TLS."""
    holder = _listener("broker", "broker", address)
    if holder is None or holder.state is State.PROBLEM:
        return holder
    place = f"{address[0]}:{address[1]}"
    credential = setup.settings.credential
    try:
        BrokerRecords(address, credential, setup.job_id or "").close()
    except (AdminUnreachable, CredentialRefused, UnsafeConnection) as error:
        # A certificate that is refused may end the connection before there is an answer.
        refused = error if credential.certificate is None else _refusal(address, credential.ca)
        if not isinstance(refused, CredentialRefused):
            return problem("broker", error.what, error.why, fix=error.fix)
        fix = "tasks that the agent starts are let in by their process, not by a certificate"
        if credential.certificate is None:
            what = f"{place} answers over TLS, and does not let this process in, as it must be"
            return ok("broker", what, fix=fix)
        what = f"{place} answers over TLS, and lets in neither this process nor its certificate"
        return warning("broker", what, fix=fix)
    return ok("broker", f"{place} answers over TLS, and lets an administrator read KeeperLogger")


def _refusal(address: tuple[str, int], ca: Path | None) -> AdminError | None:
    """Return what a caller without a certificate is told."""
    try:
        BrokerRecords(address, Credential(ca=ca), "").close()
    except AdminError as error:
        return error
    return None


def _broker_on_disk(root: AgentRoot) -> tuple[str, int] | None:
    """Return what was set through the API, else what the plugin's JSON says, None for neither.

    A policy may have changed it since.
    """
    settings: dict[str, Any] = {}
    with suppress(BadJson, OSError):
        settings |= read_there(root.plugins / f"{SYSTEM_PLUGIN}.json") or {}
    with suppress(BadJson, OSError):
        stored = (read_there(root.store) or {}).get(SYSTEM_PLUGIN)
        settings |= stored if isinstance(stored, dict) else {}
    host = loopback_ip(str(settings.get(BROKER_HOST, "127.0.0.1")))
    port = str(settings.get(BROKER_PORT, ""))
    return (host, int(port)) if host and port.isdecimal() and 0 < int(port) < 65_536 else None
