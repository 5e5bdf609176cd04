"""The agent root holds what an agent works with; its `appsettings.json` names the ports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from epm_task.admin.doctor.finding import Finding, fault, note, ok, unknown
from epm_task.admin.settings import DEFAULT_BASE_URL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.case import Case

_NAME: Final = "agent root"


def check_root(case: Case) -> Iterator[Finding]:
    """Look at the folders, and take the port from `appsettings.json` when none was given."""
    root = case.root
    if root is None:
        yield unknown(
            _NAME,
            "no folder of an agent was found in the usual places, so its files are not examined",
            "give it with --agent-root",
        )
        return
    if not root.path.is_dir():
        yield fault(_NAME, f"{root.path} is no folder", "correct --agent-root")
        case.root = None
        return
    missing = [str(path) for path in (root.jobs, root.jobs_bin) if not path.is_dir()]
    if missing:
        yield fault(
            _NAME, f"{' and '.join(missing)} is missing", "install the agent, or correct the root"
        )
    elif not os.access(root.jobs, os.R_OK | os.X_OK):
        yield unknown(_NAME, f"{root.jobs} cannot be read by this user", "run this as root")
    else:
        yield ok(_NAME, str(root.path))
    yield from _port(case)


def _port(case: Case) -> Iterator[Finding]:
    root = case.root
    if root is None:
        return
    try:
        port = root.read_ports().https
    except ValueError as error:
        yield unknown(_NAME, f"{root.appsettings}: {error}", "give --base-url with the port")
        return
    if port is None:
        return
    named = f"https://127.0.0.1:{port}"
    if case.base_url == DEFAULT_BASE_URL:
        case.base_url = named
    elif not case.base_url.rstrip("/").endswith(f":{port}"):
        yield note(
            _NAME,
            f"{root.appsettings} names port {port}, and {case.base_url} was given",
            f"give --base-url {named}, if this is the same agent",
        )
