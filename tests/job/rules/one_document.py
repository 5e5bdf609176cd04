"""One good document, from which the tests of the rules make others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epm_task.job.document import JobDocument
from epm_task.job.rules import RULES
from epm_task.job.subject import Subject

if TYPE_CHECKING:
    from epm_task.job.rule import Hit


def hits(code: str, *, task: dict[str, Any] | None = None, **fields: Any) -> list[Hit]:
    """Return what one rule finds in the good document with other fields; None leaves one out."""
    step = {
        "id": "one",
        "command": "probe",
        "arguments": "--keeper-api-base={KeeperApiBaseUrl}",
        "timeoutSeconds": 60,
        **(task or {}),
    }
    raw = {
        "id": "probe",
        "name": "Probe",
        "schedule": {"intervalMinutes": 5},
        "tasks": [{k: v for k, v in step.items() if v is not None}],
        "mqttTopics": {"allowedPublications": ["KeeperLogger"]},
        **fields,
    }
    document = JobDocument({key: value for key, value in raw.items() if value is not None})
    return list(RULES[code].check(Subject(document)))


def with_arguments(code: str, arguments: str, **fields: Any) -> list[str]:
    """Return the sentences of one rule about a task's arguments after the API's address."""
    line = f"--keeper-api-base={{KeeperApiBaseUrl}} {arguments}"
    return [hit.what for hit in hits(code, task={"arguments": line}, **fields)]
