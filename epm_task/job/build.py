"""Building makes the document of a job from its tasks, in the order in which people read it."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
from datetime import date, timedelta
from enum import Enum
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.names import (
    API_BASE_ARGUMENT,
    API_BASE_URL,
    OS_NAMES,
    SERVICE,
    os_name,
)
from epm_task.contract.tokens import PATH_TOKEN_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.contract.names import OsName
    from epm_task.job.job import Job
    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.parameter import Parameter
    from epm_task.runtime.task import Task


#: Annotations of handlers that return no result; the last is the text of the first two.
_NO_RESULT: Final = (None, type(None), "None")


def build(
    job: Job, *, systems: Sequence[OsName] = (), agent_root: str | None = None
) -> dict[str, Any]:
    """Return the document; a fact that the code does not state is left out.

    Args:
        job: The job.
        systems: The systems on which it runs; empty stands for what the code says.
        agent_root: Folder of the agent; every task then gets its `executablePath` below it.

    Raises:
        ValueError: No path fits all the systems.
    """
    declared = job.declaration
    lines = ArgumentLines()
    allowed = tuple(systems) or declared.os_filter
    tasks = [_step(job, task, lines) for task in job.tasks]
    if agent_root is not None:
        tasks = [_with_path(step, agent_root, allowed or (os_name(),)) for step in tasks]
    document: dict[str, Any] = {"id": job.id, "name": declared.job_name}
    if declared.description:
        document["description"] = declared.description
    document |= {"enabled": True, "priority": declared.priority, **_starts(declared)}
    if allowed:
        document["osFilter"] = {name: name in allowed for name in OS_NAMES}
    document["mqttTopics"] = {
        "allowedPublications": job.publications,
        "allowedSubscriptions": job.subscriptions,
    }
    if declared.event_topic is not None:
        document["eventTopic"] = declared.event_topic.name
    return {**document, "parameters": lines.parameters, "tasks": tasks}


def returns_result(task: Task[..., Any]) -> bool:
    """Return whether the handler's annotation promises a result; one without does not."""
    annotation = inspect.signature(task.handler.function).return_annotation
    return annotation is not inspect.Signature.empty and annotation not in _NO_RESULT


def _starts(declared: Declaration) -> dict[str, Any]:
    found: dict[str, Any] = {}
    kinds = (
        ("intervalMinutes", declared.every_minutes),
        ("cronExpression", declared.cron),
        ("runAt", declared.run_at),
    )
    schedule = {kind: value for kind, value in kinds if value is not None}
    if schedule:
        found["schedule"] = schedule
    if declared.events:
        found["events"] = [{"eventType": event} for event in declared.events]
    return found


def _with_path(step: dict[str, Any], root: str, systems: Sequence[OsName]) -> dict[str, Any]:
    windows = "windows" in systems
    if windows and len(systems) > 1:
        raise ValueError("no executablePath fits Windows and another system")
    kind, extension = (PureWindowsPath, ".exe") if windows else (PurePosixPath, "")
    folder = kind(root)
    if not folder.is_absolute():
        raise ValueError(f"the agent's folder {root} is not absolute on {' and '.join(systems)}")
    path = folder / "Jobs" / "bin" / step["command"] / f"{step['command']}{extension}"
    found: dict[str, Any] = {}
    for name, value in step.items():
        found[name] = value
        if name == "command":
            found["executablePath"] = str(path)
    return found


def _step(job: Job, task: Task[..., Any], lines: ArgumentLines) -> dict[str, Any]:
    declared = task.declaration
    step: dict[str, Any] = {
        "id": task.name,
        "name": declared.job_name,
        "ExecutionType": declared.execution_type,
        "command": command_name(task),
        "arguments": lines.line(task),
    }
    if declared.timeout_seconds is not None:
        # The agent takes whole seconds; the task's own deadline stays below the rounded value.
        step["timeoutSeconds"] = math.ceil(declared.timeout_seconds)
    step |= {"continueOnFailure": job.continue_on_failure, "scriptType": "Auto"}
    if returns_result(task) and declared.execution_type == SERVICE:
        step["MergeStdoutJsonIntoContext"] = True
    return step


def command_name(task: Task[..., Any]) -> str:
    """Return the name of the executable that holds *task*: `KeyScanner`, without path or extension.

    One file becomes one executable, which is named for its only task's job, or for the file.
    """
    if task.declaration.command:
        return task.declaration.command
    alone = len(task.siblings()) == 1
    words = task.declaration.job_id if alone else Path(task.file).stem
    parts = re.split(r"[^0-9A-Za-z]+", words)
    return "".join(part[:1].upper() + part[1:] for part in parts) or "Task"


#: Types of parameters whose text never holds a blank, with the document's word for each.
_PLAIN_TYPES: Final[dict[Any, str]] = {int: "integer", float: "number", bool: "boolean"}
#: Names that the agent fills itself; a parameter must not take one, whatever its case.
_TAKEN: Final = {
    name.casefold() for names in PATH_TOKEN_NAMES.values() for name in (*names, API_BASE_URL)
}


class ArgumentLines:
    """The argument lines of a job's tasks; equal parameters of two tasks become one.

    Attributes:
        parameters: Entries for the job's `parameters`, in the order of their first use.
    """

    def __init__(self) -> None:
        """Begin without parameters."""
        self.parameters: list[dict[str, Any]] = []

    def line(self, task: Task[..., Any]) -> str:
        """Return the arguments of *task*, and add what they need to `parameters`."""
        words = [API_BASE_ARGUMENT]
        if len(task.siblings()) > 1:
            words.append(f"--task={task.name}")
        for parameter in task.parameters:
            token = f"{{{self._name(task, parameter)}}}"
            quoted = token if parameter.kind in _PLAIN_TYPES else f'"{token}"'
            words.append(f"{parameter.option}={quoted}")
        return " ".join(words)

    def _name(self, task: Task[..., Any], parameter: Parameter) -> str:
        own = "".join(word.capitalize() for word in task.name.split("-"))
        for name in (parameter.token, f"{own}{parameter.token}"):
            if (entry := self._entry(name, parameter)) is not None:
                return str(entry["name"])
        number = 2
        while (entry := self._entry(f"{own}{parameter.token}{number}", parameter)) is None:
            number += 1
        return str(entry["name"])

    def _entry(self, name: str, parameter: Parameter) -> dict[str, Any] | None:
        """Return the entry for *parameter* below *name*; None when the name means another one."""
        wanted = _described(name, parameter)
        # On Windows the case of a token does not count, so no two names may differ by it alone.
        known = {entry["name"].casefold(): entry for entry in self.parameters}
        if name.casefold() in _TAKEN:
            return None
        if (present := known.get(name.casefold())) is not None:
            return present if present == wanted else None
        self.parameters.append(wanted)
        return wanted


def argument_text(value: Any) -> str:
    """Return the text by which an argument stands for *value*; structures are JSON."""
    if isinstance(value, Enum):
        return argument_text(value.value)
    if isinstance(value, str | int | float | PurePath):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    if hasattr(value, "model_dump_json"):
        return str(value.model_dump_json())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.dumps(value, default=argument_text)


def _described(name: str, parameter: Parameter) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "type": _PLAIN_TYPES.get(parameter.kind, "string")}
    # One token is one text: a list's default stays in the code, which uses it for an empty value.
    if not (parameter.required or parameter.default is None or parameter.repeated):
        entry["defaultValue"] = _default(parameter)
    return {**entry, "required": parameter.required}


def _default(parameter: Parameter) -> Any:
    value = parameter.default
    if parameter.kind in _PLAIN_TYPES and isinstance(value, bool | int | float):
        return value
    # The document must not depend on the system on which it is made.
    return value.as_posix() if isinstance(value, PurePath) else argument_text(value)
