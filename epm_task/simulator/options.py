"""Name the options of an agent and of a run under it, and refuse a wrong name."""

from __future__ import annotations

import difflib
import random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from epm_task.contract.client_id import DEFAULT_TEMPLATE
from epm_task.errors import EpmTaskError
from epm_task.simulator.jobs.task import GRACE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from epm_task.contract.record import Record
    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.jobs.run import Publication
    from epm_task.simulator.processes.registry import Trust


class AgentOptions(NamedTuple):
    """How an agent is started."""

    #: Whether a launched process alone has the Plugin tier, or its descendants too; with `signed`
    #: the broker wants its program to be one of those that count as signed, too.
    trust: Trust = "exact"
    #: Seconds from the start of a process to its registration, or a range from which each run takes
    #: its own.
    registration_delay: float | tuple[float, float] = 0.0
    #: Lowest level that goes to the KeeperLogger file; the field's default is Warning.
    log_level: str = "Trace"
    host: str = "127.0.0.1"  #: Loopback address.
    #: 0 for any free one; None for that of `appsettings.json`, when it has one.
    https_port: int | None = 0
    http_port: int | None = 0  #: The same for plain HTTP.
    mqtt_port: int = 0  #: 0 for any free one.
    #: Whether the broker answers denials with 0x87 where MQTT 5 has room for it.
    deny_visibly: bool = False
    stable_ca: bool = False  #: Whether the certificate authority is kept over restarts.
    #: PEM: the certificate that HTTPS and broker show, those up to its root, and its private key;
    #: a fresh one of the agent's own CA when None.
    certificate: Path | None = None
    client_id_template: str = DEFAULT_TEMPLATE  #: Where the job id is in a client id.
    bare_values: bool = True  #: Whether the API answers one setting as a bare JSON string.
    grace_seconds: float = GRACE_SECONDS  #: Between SIGTERM and SIGKILL.
    #: Compiled-in settings by plugin and key.
    settings: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    #: What the `condition` of a job is taken for, by job id.
    conditions: Mapping[str, bool] = MappingProxyType({})
    #: Environment that tasks inherit, without `KEEPER_*`; that of this process when None.
    environ: Mapping[str, str] | None = None
    faults: Faults | None = None  #: What goes wrong on purpose.
    start_time: datetime | None = None  #: Where the scheduler's clock starts; now when None.
    trace_file: Path | None = None  #: Takes every decision as a JSON line.
    #: Takes every API exchange and every MQTT message as a JSON line.
    record_file: Path | None = None
    replay_file: Path | None = None  #: A recording that answers the tasks' API requests.
    #: Port of the console on loopback, 0 for any free one; None for no console.
    console_port: int | None = None
    #: Where tasks keep their states; the folder `State` of the agent's root when None.
    state_folder: Path | None = None

    def registration_seconds(self) -> float:
        """Return the registration delay of the next run."""
        if isinstance(self.registration_delay, tuple):
            return random.uniform(*self.registration_delay)  # noqa: S311 - no secret
        return self.registration_delay


class AgentKeywords(TypedDict, total=False):
    """The fields of `AgentOptions`, as keywords of `Agent`."""

    trust: Trust
    registration_delay: float | tuple[float, float]
    log_level: str
    host: str
    https_port: int | None
    http_port: int | None
    mqtt_port: int
    deny_visibly: bool
    stable_ca: bool
    certificate: Path | None
    client_id_template: str
    bare_values: bool
    grace_seconds: float
    settings: Mapping[str, Mapping[str, Any]]
    conditions: Mapping[str, bool]
    environ: Mapping[str, str] | None
    faults: Faults | None
    start_time: datetime | None
    trace_file: Path | None
    record_file: Path | None
    replay_file: Path | None
    console_port: int | None
    state_folder: Path | None


class RunKeywords(TypedDict, total=False):
    """How `Agent.run` and `Agent.start` run a task."""

    #: Values of the task's own parameters by name; None leaves one out.
    parameters: Mapping[str, Any]
    arguments: Sequence[str]  #: Further arguments, passed exactly as they are.
    task: str | None  #: Which task of a file with several.
    #: Fields of the job document that replace those that are made from the task.
    job: Mapping[str, Any]
    timeout: float | None  #: `timeoutSeconds` of the job; else the task's own, or 60 s.
    #: Seconds from the start of the process to its registration; else the agent's own.
    registration_delay: float | None
    env: Mapping[str, str]  #: Environment variables beside those that the agent passes on.
    cwd: Path | None  #: Working directory of the process; else the agent's root.
    #: Called, in the agent's thread, with `stdout` or `stderr` and each line.
    on_line: Callable[[str, bytes], None] | None
    #: Called, in the agent's thread, with each record once.
    on_record: Callable[[Record], None] | None
    #: Called, in the agent's thread, with each message on another topic.
    on_message: Callable[[Publication], None] | None


class UnknownName(EpmTaskError, TypeError):
    """A keyword or a parameter has a name that does not exist."""

    def __init__(self, owner: str, kind: str, name: str, known: Iterable[str], fix: str) -> None:
        near = difflib.get_close_matches(name, known := list(known), n=1)
        super().__init__(
            f"{owner} has no {kind} {name!r}",
            f"it has {', '.join(known) or 'none'}",
            f"did you mean {near[0]!r}? Else {fix}" if near else fix,
        )


def check_names(owner: str, given: Iterable[str], known: Iterable[str], fix: str) -> None:
    """Raise `UnknownName` for a keyword whose name is not one of *known*."""
    known = list(known)
    for name in given:
        if name not in known:
            raise UnknownName(owner, "option", name, known, fix.format(name=name))
