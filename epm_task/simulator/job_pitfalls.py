"""A job pitfall is something that the agent accepts and that rarely does what its author meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from epm_task.job.path_token_names import API_BASE_URL
from epm_task.job.schedule_rules import is_startup
from epm_task.runtime.topic import KEEPER_LOGGER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The vendor's default ports; the real ones come from the token, and from the settings.
_DEFAULT_PORT: Final = re.compile(r"(?<!\d)(6889|6888|8675)(?!\d)")


def pitfalls(doc: dict[str, Any], tasks: Sequence[dict[str, Any]], *, windows: bool) -> list[str]:
    """Return one sentence for each pitfall in a job document.

    Args:
        doc: The document.
        tasks: Those of its tasks that are objects.
        windows: Whether the agent runs on Windows.
    """
    found = [*_topics(doc), *_starts(doc)]
    for task in tasks:
        found += [f"task {task.get('id')!r}: {text}" for text in _task(task, windows=windows)]
    return found


def _topics(doc: dict[str, Any]) -> Iterator[str]:
    topics = doc.get("mqttTopics")
    topics = topics if isinstance(topics, dict) else {}
    allowed = topics.get("allowedPublications")
    allowed = allowed if isinstance(allowed, list) else []
    if not any(topics.values()):
        yield "mqttTopics has no entry, so the task gets no KEEPER_JOB_ID and cannot use the broker"
    elif KEEPER_LOGGER not in allowed:
        yield f"mqttTopics.allowedPublications lacks {KEEPER_LOGGER}, so log records vanish"
    topic = doc.get("eventTopic")
    if topic and topic not in allowed:
        yield f"eventTopic {topic} is not in mqttTopics.allowedPublications, so its messages vanish"


def _starts(doc: dict[str, Any]) -> Iterator[str]:
    events, schedule = doc.get("events"), doc.get("schedule")
    if not schedule and not events:
        yield "schedule and events are absent, so nothing but the API starts this job"
    starts = isinstance(events, list) and any(is_startup(event) for event in events)
    if starts and isinstance(schedule, dict) and schedule.get("intervalMinutes"):
        yield "a Startup run may overlap the first interval run"


def _task(task: dict[str, Any], *, windows: bool) -> Iterator[str]:
    arguments = str(task.get("arguments") or "")
    if "mqttTopics" in task:
        yield "mqttTopics belongs to the job, not to a task; here it has no effect"
    if f"{{{API_BASE_URL}}}" not in arguments:
        yield f"arguments do not hold {{{API_BASE_URL}}}, so the task cannot find the agent"
    if port := _DEFAULT_PORT.search(arguments):
        yield f"port {port[0]} stands in arguments; another agent may use another one"
    if "${" in arguments:
        yield "tokens are written {Name}, without $; the $ stays in the argument"
    if str(task.get("command")).casefold().endswith(".exe"):
        yield "command is a name without extension"
    elif not windows and str(task.get("executablePath")).casefold().endswith(".exe"):
        yield "executablePath ends in .exe, and this agent does not run on Windows"
    kind = task.get("ExecutionType", task.get("executionType", "Service"))
    if task.get("MergeStdoutJsonIntoContext") and kind not in {"Service", None}:
        yield "MergeStdoutJsonIntoContext works with ExecutionType Service only"
