"""Building makes the document of a job from its tasks, in the order in which people read it."""

from __future__ import annotations

import inspect
import math
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from epm_task.job.argument_line import ArgumentLines
from epm_task.job.command_name import command_name
from epm_task.job.os_filter import OS_NAMES, os_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.job.job import Job
    from epm_task.runtime.declaration import Declaration, OsName
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
    if returns_result(task) and declared.execution_type == "Service":
        step["MergeStdoutJsonIntoContext"] = True
    return step
