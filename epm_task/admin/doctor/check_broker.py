"""The broker must be reachable; whether it takes a task's messages is decided per process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from epm_task.admin.agent_root import AgentRoot, read_json
from epm_task.admin.broker_records import BrokerRecords
from epm_task.admin.doctor.finding import Finding, fault, note, of_error, ok, unknown
from epm_task.admin.doctor.listener import find_listener
from epm_task.admin.errors import AdminError, CredentialRefused
from epm_task.runtime.loopback import loopback_ip
from epm_task.runtime.system_settings import SYSTEM_PLUGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.case import Case

_NAME: Final = "broker"
#: The vendor's default; the agent's settings decide, and only tasks may read them.
_DEFAULT: Final = ("127.0.0.1", 8675)


def check_broker(case: Case) -> Iterator[Finding]:
    """Connect as an administrator, where the broker is said to be."""
    known = case.broker or (_on_disk(case.root) if case.root else None)
    host, port = known or _DEFAULT
    try:
        found = find_listener(host, port)
    except OSError:
        found = None
    if found is None and known is None:
        yield unknown(
            _NAME,
            f"where the broker is only tasks may ask, and nobody listens on {host}:{port}, the "
            "usual place",
            "give --broker HOST:PORT",
        )
    elif found is None:
        yield fault(_NAME, f"nobody listens on {host}:{port}", "restart the agent's service")
    elif not found.trusted:
        yield fault(
            _NAME,
            f"{host}:{port} is held by {found.who}: it may pose as the broker",
            "stop that process, then restart the agent's service",
        )
    else:
        yield _connect((host, port), case)


def _connect(address: tuple[str, int], case: Case) -> Finding:
    place = f"{address[0]}:{address[1]}"
    try:
        BrokerRecords(address, case.settings.credential, case.job_id or "").close()
    except CredentialRefused:
        return note(
            _NAME,
            f"{place} answers over TLS, and lets in neither this process nor its certificate",
            "tasks that the agent starts are let in by their process, not by a certificate",
        )
    except AdminError as error:
        return of_error(_NAME, error)
    return ok(_NAME, f"{place} answers over TLS, and lets an administrator read KeeperLogger")


def _on_disk(root: AgentRoot) -> tuple[str, int] | None:
    """Return what the plugin's JSON says; a policy may have changed it since."""
    try:
        settings = read_json(root.plugins / f"{SYSTEM_PLUGIN}.json")
    except ValueError:
        return None
    host = loopback_ip(str(settings.get("broker.host", "127.0.0.1")))
    port = str(settings.get("broker.port", ""))
    return (host, int(port)) if host and port.isdecimal() and 0 < int(port) < 65_536 else None
