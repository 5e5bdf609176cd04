"""The plugins whose settings a task asks for must be known to the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.admin.agent_root import read_json
from epm_task.admin.doctor.finding import Finding, fault, ok, unknown
from epm_task.runtime.system_settings import SYSTEM_PLUGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.case import Case


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
            read_json(file)
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
