"""The topics of a job must be allowed in its document, else the agent drops messages silently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from epm_task.admin.doctor.finding import Finding, fault, ok
from epm_task.runtime.topic import KEEPER_LOGGER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.case import Case

_NAME: Final = "topics"


def check_topics(case: Case) -> Iterator[Finding]:
    """Compare what is published with what is allowed."""
    if case.document is None:
        return
    allowed = allowed_publications(case.document)
    if not allowed:
        yield fault(
            _NAME,
            "the job allows no topics, so its tasks get no KEEPER_JOB_ID and cannot log",
            f'"mqttTopics": {{"allowedPublications": ["{KEEPER_LOGGER}"]}}',
        )
        return
    wanted = [KEEPER_LOGGER, *allowed_publications(case.built or {})]
    if event_topic := case.document.get("eventTopic"):
        wanted.append(str(event_topic))
    missing = [topic for topic in dict.fromkeys(wanted) if topic not in allowed]
    if missing:
        yield fault(
            _NAME,
            f"{' and '.join(missing)} is not allowed: the agent drops what is published there, "
            "and the task cannot see it",
            "add it to mqttTopics.allowedPublications of the job, and apply the document",
        )
    else:
        yield ok(_NAME, f"allowed: {', '.join(allowed)}")


def allowed_publications(document: dict[str, Any]) -> list[str]:
    """Return the topics on which the job's tasks may publish."""
    topics = document.get("mqttTopics")
    names = topics.get("allowedPublications") if isinstance(topics, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []
