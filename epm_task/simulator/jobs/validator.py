"""The job validator says whether the agent takes a job document, with all reasons at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.client_id import check_job_id
from epm_task.contract.names import (
    EXECUTION_TYPES,
    OS_NAMES,
    allowed_systems,
    execution_type_of,
    os_name,
)
from epm_task.contract.schedule import schedule_errors
from epm_task.errors import BadJobId
from epm_task.job.document import JobDocument
from epm_task.job.linter import choose
from epm_task.job.subject import Subject
from epm_task.simulator.jobs.command import find_program

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.contract.names import OsName
    from epm_task.job.rule import Hit


_PRIORITIES: Final = range(1, 11)
_TOPIC_LISTS: Final = ("allowedPublications", "allowedSubscriptions")
_MISSING: Final = object()

#: Fields that are optional: name, type, and the type in words.
_OPTIONAL_JOB_FIELDS: Final = (
    ("description", str, "text"),
    ("enabled", bool, "true or false"),
    ("eventTopic", str, "text"),
    ("condition", dict, "an object"),
    ("alternateJobId", str, "text"),
    ("osFilter", dict, "an object"),
    ("mqttTopics", dict, "an object"),
    ("parameters", list, "an array"),
)
_OPTIONAL_TASK_FIELDS: Final = (
    ("name", str, "text"),
    ("executablePath", str, "text"),
    ("arguments", str, "one text"),
    ("continueOnFailure", bool, "true or false"),
    ("scriptType", str, "text"),
    ("MergeStdoutJsonIntoContext", bool, "true or false"),
)


@dataclass(slots=True)
class Validation:
    """What the validator found.

    Attributes:
        errors: Why the agent refuses the document; empty when it takes it.
        warnings: What works, and rarely as it was meant.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether the agent takes the document."""
        return not self.errors


def validate(
    doc: Any, *, layout_bin: Path, platform: str = sys.platform, search_path: str | None = None
) -> Validation:
    """Check a job document as `POST /api/Jobs` does; unknown fields are no fault.

    Args:
        doc: The parsed document.
        layout_bin: `Jobs/bin` of the agent.
        platform: As `sys.platform`.
        search_path: `PATH` of the agent; None is that of this process.
    """
    if not isinstance(doc, dict):
        return Validation(["the job must be a JSON object"])
    errors = [
        *_id_errors(doc),
        *_required_text(doc, "name", "name"),
        *_wrong_types(doc, _OPTIONAL_JOB_FIELDS, ""),
        *_priority_errors(doc),
        *schedule_errors(doc),
        *_parameter_errors(doc),
        *_topic_errors(doc),
        *_os_filter_errors(doc),
        *_task_list_errors(doc),
    ]
    tasks = [task for task in _list(doc, "tasks") if isinstance(task, dict)]
    if not excluded_here(doc, platform):
        for task in tasks:
            errors += _binary_errors(task, layout_bin, platform, search_path)
    return Validation(errors, pitfalls(doc, system=os_name(platform)))


def excluded_here(doc: dict[str, Any], platform: str = sys.platform) -> bool:
    """Return whether the job's `osFilter` excludes this platform; a key that is absent does not."""
    return os_name(platform) not in allowed_systems(doc)


def _id_errors(doc: dict[str, Any]) -> list[str]:
    if errors := _required_text(doc, "id", "id"):
        return errors
    try:
        check_job_id(doc["id"])
    except BadJobId as error:
        return [str(error)]
    return []


def _required_text(doc: dict[str, Any], key: str, place: str) -> list[str]:
    value = doc.get(key)
    if value is None or value == "":
        return [f"{place} is missing"]
    return [] if isinstance(value, str) else [f"{place} must be text"]


def _wrong_types(
    doc: dict[str, Any], fields: tuple[tuple[str, type, str], ...], place: str
) -> list[str]:
    return [
        f"{place}{key} must be {words}"
        for key, kind, words in fields
        if doc.get(key) is not None and not isinstance(doc[key], kind)
    ]


def _priority_errors(doc: dict[str, Any]) -> list[str]:
    priority = doc.get("priority", 1)
    if type(priority) is int and priority in _PRIORITIES:
        return []
    return [f"priority must be a whole number from 1 to 10, not {priority!r}"]


def _parameter_errors(doc: dict[str, Any]) -> list[str]:
    errors = []
    seen: set[str] = set()
    for index, parameter in enumerate(_list(doc, "parameters")):
        place = f"parameters[{index}]"
        if not isinstance(parameter, dict):
            errors.append(f"{place} must be an object")
            continue
        errors += _required_text(parameter, "name", f"{place}.name")
        name = str(parameter.get("name"))
        if name in seen:
            errors.append(f"{place}.name {name!r} stands twice")
        seen.add(name)
        if not isinstance(parameter.get("required", False), bool):
            errors.append(f"{place}.required must be true or false")
    return errors


def _topic_errors(doc: dict[str, Any]) -> list[str]:
    topics = doc.get("mqttTopics")
    if not isinstance(topics, dict):
        return []
    errors = []
    for key in _TOPIC_LISTS:
        names = topics.get(key) or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            errors.append(f"mqttTopics.{key} must be an array of topic names")
    return errors


def _os_filter_errors(doc: dict[str, Any]) -> list[str]:
    rule = doc.get("osFilter")
    flags = rule.items() if isinstance(rule, dict) else ()
    return [
        f"osFilter.{key} must be true or false"
        for key, flag in flags
        if key in OS_NAMES and not isinstance(flag, bool)
    ]


def _task_list_errors(doc: dict[str, Any]) -> list[str]:
    tasks = doc.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        return ["tasks must be an array with at least one task"]
    errors = []
    seen: set[object] = set()
    for index, task in enumerate(tasks):
        place = f"tasks[{index}]"
        if not isinstance(task, dict):
            errors.append(f"{place} must be an object")
            continue
        errors += _task_errors(task, place)
        if isinstance(task_id := task.get("id"), str) and task_id in seen:
            errors.append(f"{place}.id {task_id!r} stands twice")
        seen.add(str(task.get("id")))
    return errors


def _task_errors(task: dict[str, Any], place: str) -> list[str]:
    errors = [
        *_required_text(task, "id", f"{place}.id"),
        *_required_text(task, "command", f"{place}.command"),
        *_wrong_types(task, _OPTIONAL_TASK_FIELDS, f"{place}."),
    ]
    command = task.get("command")
    if isinstance(command, str) and (command in {".", ".."} or any(c in command for c in "/\\\0")):
        errors.append(f"{place}.command must be a name without a path; use executablePath for that")
    path = task.get("executablePath")
    if isinstance(path, str) and path and not _is_absolute(path):
        errors.append(f"{place}.executablePath must be absolute")
    seconds = task.get("timeoutSeconds", _MISSING)
    if seconds not in (_MISSING, None) and (type(seconds) is not int or seconds < 1):
        errors.append(f"{place}.timeoutSeconds must be a whole number of seconds, at least 1")
    if execution_type_of(task) not in EXECUTION_TYPES:
        errors.append(f"{place}.ExecutionType must be one of {', '.join(EXECUTION_TYPES)}")
    return errors


def _is_absolute(path: str) -> bool:
    # A job for another system is checked too, so both kinds of path count.
    return PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()


def _binary_errors(
    task: dict[str, Any], layout_bin: Path, platform: str, search_path: str | None
) -> list[str]:
    command, path = task.get("command"), task.get("executablePath")
    if not isinstance(command, str) or not command or not isinstance(path, str | None):
        return []
    if find_program(task, layout_bin, search_path, platform):
        return []
    if path:
        return [f"binary not found: {path} (executablePath of task {task.get('id')!r})"]
    return [f"binary not found: {layout_bin / command}, and {command!r} is not on PATH"]


def _list(doc: dict[str, Any], key: str) -> list[Any]:
    value = doc.get(key)
    return value if isinstance(value, list) else []


#: The rules that need neither a file nor the author's code, and that say no error again.
_CODES: Final = (
    "EPM003",
    "EPM004",
    "EPM005",
    "EPM006",
    "EPM007",
    "EPM008",
    "EPM010",
    "EPM012",
    "EPM013",
    "EPM014",
    "EPM015",
    "EPM018",
    "EPM019",
    "EPM020",
    "EPM024",
)


def pitfalls(doc: dict[str, Any], *, system: OsName) -> list[str]:
    """Return one sentence for each pitfall in a job document.

    Args:
        doc: The document.
        system: The agent's own system.
    """
    subject = Subject(JobDocument(doc), systems=frozenset({system}))
    return [_sentence(subject, hit) for rule in choose(_CODES) for hit in rule.check(subject)]


def _sentence(subject: Subject, hit: Hit) -> str:
    for task in subject.tasks:
        if hit.pointer == task.pointer or hit.pointer.startswith(f"{task.pointer}/"):
            return f"task {task.fields.get('id')!r}: {hit.what}"
    return hit.what
