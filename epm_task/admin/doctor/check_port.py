"""The port of the agent must be held by the agent: by the system, or by this user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from epm_task.admin.address import admin_address
from epm_task.admin.doctor.finding import Finding, fault, ok, unknown
from epm_task.admin.doctor.listener import find_listener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.case import Case

_NAME: Final = "port"


def check_port(case: Case) -> Iterator[Finding]:
    """Tell who listens."""
    host, port = admin_address(case.base_url)
    try:
        found = find_listener(host, port)
    except OSError as error:
        case.listening = True
        yield unknown(_NAME, f"nobody can tell who holds {host}:{port} ({error})")
        return
    if found is None:
        yield fault(
            _NAME,
            f"nobody listens on {host}:{port}: the agent is down, or has another port",
            "start the agent's service; KestrelHttpsPort of appsettings.json is its port",
        )
    elif not found.trusted:
        yield fault(
            _NAME,
            f"{host}:{port} is held by {found.who}, which is neither the system nor your own "
            "user: it may pose as the agent",
            "stop that process, then start the agent's service",
        )
    else:
        case.listening = True
        yield ok(_NAME, f"{host}:{port} is held by {found.who}")
