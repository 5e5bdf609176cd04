"""Say whether the agent takes a job document, with all reasons at once."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.client_id import check_job_id
from epm_task.contract.layout import find_program
from epm_task.contract.names import allowed_systems, os_name
from epm_task.contract.schedule import schedule_errors
from epm_task.errors import BadJobId
from epm_task.job.document import JobDocument
from epm_task.job.linter import choose
from epm_task.job.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from epm_task.contract.names import OsName
    from epm_task.job.rule import Hit


@dataclass(slots=True)
class Validation:
    """What the validator found."""

    #: Why the agent refuses the document; empty when it takes it.
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  #: What works, and rarely as it was meant.

    @property
    def valid(self) -> bool:
        """Whether the agent takes the document."""
        return not self.errors


def validate(
    doc: Any, *, layout_bin: Path, platform: str = sys.platform, search_path: str | None = None
) -> Validation:
    """Check a parsed document as `POST /api/Jobs` does; unknown fields are right.

    *layout_bin* is `Jobs/bin` of the agent, *search_path* its `PATH`: None is that of this process.
    """
    if not isinstance(doc, dict):
        return Validation(["the job must be a JSON object"])
    system = os_name(platform)
    errors = [*_shape_errors(doc), *schedule_errors(doc), *_twice(doc, "parameters", "name")]
    errors += _twice(doc, "tasks", "id")
    for index, task in _entries(doc, "tasks"):
        errors += _program_errors(task, f"tasks[{index}]")
        if system in allowed_systems(doc):
            errors += _binary_errors(task, layout_bin, platform, search_path)
    return Validation(errors, pitfalls(doc, system=system))


#: What `schedule_errors` says better.
_TIMES: Final = "/schedule"


def _shape_errors(doc: dict[str, Any]) -> Iterator[str]:
    for misfit in JobDocument(doc).misfits:
        if misfit.missing:
            yield f"{_dotted(f'{misfit.pointer}/{misfit.field}')} is missing"
        elif misfit.pointer != "/id" and not misfit.pointer.startswith(_TIMES):
            yield f"{_dotted(misfit.pointer)} {misfit.why}"
    if isinstance(doc.get("id"), str):
        try:
            check_job_id(doc["id"])
        except BadJobId as error:
            yield str(error)
    elif "id" in doc:
        yield "id must be text"


def _dotted(pointer: str) -> str:
    """Return a JSON pointer as people write it: `/tasks/0/id` is `tasks[0].id`."""
    return re.sub(r"/(\d+)", r"[\1]", pointer).lstrip("/").replace("/", ".")


def _entries(doc: dict[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    listed = doc.get(key)
    found = enumerate(listed if isinstance(listed, list) else ())
    return [(index, entry) for index, entry in found if isinstance(entry, dict)]


def _twice(doc: dict[str, Any], key: str, name: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, entry in _entries(doc, key):
        value = entry.get(name)
        if isinstance(value, str) and value in seen:
            yield f"{key}[{index}].{name} {value!r} is used twice"
        seen.add(str(value))


def _program_errors(task: dict[str, Any], place: str) -> Iterator[str]:
    command, path = task.get("command"), task.get("executablePath")
    if isinstance(command, str) and (command in {".", ".."} or any(c in command for c in "/\\\0")):
        yield f"{place}.command must be a name without a path; use executablePath for that"
    # A job for another system is checked too, so both kinds of path count.
    kinds = PurePosixPath, PureWindowsPath
    if isinstance(path, str) and path and not any(kind(path).is_absolute() for kind in kinds):
        yield f"{place}.executablePath must be absolute"


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


#: The rules that need neither a file nor the author's code, and that do not repeat an error.
_CODES: Final = tuple(
    f"EPM{code:03}" for code in (*range(3, 9), 10, *range(12, 16), 18, 19, 20, 24)
)


def pitfalls(doc: dict[str, Any], *, system: OsName) -> list[str]:
    """Return one sentence for each pitfall that a job document has on *system*."""
    subject = Subject(JobDocument(doc), systems=frozenset({system}))
    return [_sentence(subject, hit) for rule in choose(_CODES) for hit in rule.check(subject)]


def _sentence(subject: Subject, hit: Hit) -> str:
    for task in subject.tasks:
        if hit.pointer == task.pointer or hit.pointer.startswith(f"{task.pointer}/"):
            return f"task {task.fields.get('id')!r}: {hit.what}"
    return hit.what
