"""Describe an agent, its jobs, settings and faults as the console's page gets them."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from epm_task import __version__
from epm_task.contract.argument_line import command_text
from epm_task.contract.names import API_BASE_URL, default_of, os_name
from epm_task.contract.schedule import STARTUP, event_name
from epm_task.contract.secrets import is_secret_name
from epm_task.contract.tokens import PATH_TOKEN_NAMES, unknown_tokens
from epm_task.simulator.console.runs import iso
from epm_task.simulator.jobs.command import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from epm_task.contract.layout import AgentRoot
    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.jobs.history import RunHistory
    from epm_task.simulator.jobs.scheduler import Scheduler
    from epm_task.simulator.jobs.store import JobStore
    from epm_task.simulator.settings import SettingsStore
    from epm_task.simulator.trace import Trace

#: In the place of a secret.
_HIDDEN: Final = "•••"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The parts of an agent that the console shows."""

    root: AgentRoot
    trace: Trace
    jobs: JobStore
    settings: SettingsStore
    faults: Faults
    history: RunHistory
    scheduler: Scheduler
    start_run: Callable[..., str]  #: Starts a run; returns its id.
    facts: Callable[[], dict[str, Any]]  #: Where everything is.

    def agent(self, began: float) -> dict[str, Any]:
        """Describe the agent, which runs since *began*, without its keys."""
        facts = self.facts()
        return {
            "root": facts["root"],
            "baseUrl": facts["base_url"],
            "broker": f"{facts['broker_host']}:{facts['broker_port']}",
            "host": platform.node(),
            "startedAt": iso(began),
            "version": __version__,
            "pid": os.getpid(),
            "healthy": True,
        }

    def commands(self) -> list[str]:
        """Return the commands that lead to a first run, with the paths of this agent."""
        facts = {name: command_text([str(value)]) for name, value in self.facts().items()}
        access = "--agent-root {root} --base-url {base_url} --cacert {ca} --cert {admin_cert}"
        plugin = command_text([str(self.root.plugins / "MyTask.json")])
        return [
            f"epm-task new my-task --no-input && echo '{{}}' > {plugin}",
            "cd my-task && epm-task freeze",
            f"epm-task deploy apply --trigger --yes {access} --key {{admin_key}}".format(**facts),
        ]

    def job(self, job: Mapping[str, Any], known: JobRuns | None, *, stored: bool) -> dict[str, Any]:
        """Describe a job, with what is *known* of its runs."""
        due = self.scheduler.next_due(job) if stored else None
        known = known or JobRuns()
        return {
            "id": str(job.get("id", "")),
            "name": str(job.get("name") or job.get("id", "")),
            "enabled": job.get("enabled", True) is not False,
            "stored": stored,
            "schedule": _schedule(job),
            "nextDue": due.isoformat(timespec="seconds") if due else None,
            **known.last,
            "running": known.running,
            "parameters": _parameters(job),
        }

    def settings_table(self, seen: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return each setting with the layer that its value comes from, and who read it last."""
        return [
            {
                "plugin": plugin,
                "key": key,
                "value": _HIDDEN if is_secret_name(key) else value,
                "layer": layer,
                "lastSeen": seen.get(f"{plugin}/{key}".casefold()) or seen.get(plugin.casefold()),
            }
            for plugin, key, value, layer in self.settings.by_layer()
        ]


@dataclass(slots=True)
class JobRuns:
    """What is known of the runs of one job."""

    running: int = 0
    #: How the last one ended, as the page gets it.
    last: dict[str, Any] = field(
        default_factory=lambda: dict.fromkeys(("lastRun", "lastExit", "lastExitName", "lastEnded"))
    )


def shown_faults(faults: Faults) -> list[dict[str, Any]]:
    """Describe every fault that was added, those that are used up or switched off too."""
    return [
        {
            "id": str(number),
            "text": rule.typed,
            "on": rule.on,
            "fired": rule.fired,
            "left": rule.times,
        }
        for number, rule in enumerate(faults.rules())
    ]


def _schedule(job: Mapping[str, Any]) -> str:
    """Say in words what starts a job."""
    found = job.get("schedule")
    schedule = found if isinstance(found, dict) else {}
    if minutes := schedule.get("intervalMinutes"):
        return f"every {minutes} min"
    if cron := schedule.get("cronExpression"):
        return f"cron {cron}"
    if moment := schedule.get("runAt"):
        return f"once, at {moment}"
    if schedule.get("calendar"):
        return "calendar"
    events = job.get("events")
    names = [str(event_name(each)) for each in events] if isinstance(events, list) else []
    if STARTUP in names:
        return "at start"
    return f"on {', '.join(names)}" if names else "none"


#: The words of a document for the types of parameters, and those of the page.
_TYPES: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}


def _parameters(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a trigger may give: the declared parameters, then tokens that nothing fills."""
    declared, steps = (
        [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        for found in (job.get("parameters"), job.get("tasks"))
    )
    names = {str(each.get("name")) for each in declared}
    filled = dict.fromkeys((*names, *PATH_TOKEN_NAMES[os_name()], API_BASE_URL), "")
    windows = sys.platform == "win32"
    tokens = {
        name: None
        for each in steps
        for name in unknown_tokens(str(each.get("arguments") or ""), filled, windows=windows)
    }
    return [_parameter(each) for each in (*declared, *({"name": name} for name in tokens))]


def _parameter(found: Mapping[str, Any]) -> dict[str, Any]:
    name, default = str(found.get("name", "")), default_of(found)
    kind = str(found.get("type") or "string")
    secret = is_secret_name(name)
    return {
        "name": name,
        "type": _TYPES.get(kind.casefold(), kind),
        "required": bool(found.get("required")),
        "default": None if default is None else _HIDDEN if secret else as_text(default),
        "choices": None,
        "help": str(found.get("description") or ""),
        "secret": secret,
    }


#: Faults to begin with, each with what it does.
FAULT_KINDS: Final = tuple(
    {"text": text, "help": what}
    for text, what in {
        "api status=403 times=3": "the next three requests of tasks get 403",
        "api status=500 times=1": "the next request gets 500",
        "api delay=2.0 times=1": "the next answer comes after two seconds",
        "api garbage times=1": "the next answer cannot be read as JSON",
        "api reset times=1": "the next connection is reset",
        "registration never times=1": "the next process is never registered",
        "registration late=2.0 times=1": "the next process is registered after two seconds",
        "registration lost=2.0 times=1": "the next process loses it after two seconds",
        "broker refuse times=1": "the next connection to the broker is refused",
        "broker no_ack": "the broker acknowledges nothing",
        "broker restart=0.5": "the broker is away for half a second, once",
        "run kill_after=1.0 times=1": "the next process is killed after one second",
        "run term_after=1.0 times=1": "the next process is asked to stop after one second",
        "run disk_full times=1": "the next process cannot write files (Linux)",
    }.items()
)
