"""A job pitfall is something that the agent accepts and that rarely does what its author meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from epm_task.job.document import JobDocument
from epm_task.job.linter import choose
from epm_task.job.subject import Subject

if TYPE_CHECKING:
    from epm_task.job.rule import Hit
    from epm_task.runtime.declaration import OsName

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
