"""Put what the code states into a document that people may have added to.

What the code states wins. What it does not state stays: unknown fields, `condition`, `enabled`, a
default for a required parameter, a schedule when the code has none, tasks of other programs. Topics
and parameters belong to the code alone, unless the document has such other tasks.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.contract.json_text import format_json
from epm_task.contract.schedule import SCHEDULE_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from epm_task.job.document import JobDocument


_MERGE_STDOUT: Final = "MergeStdoutJsonIntoContext"
#: Another spelling of a key, which the agent takes too: what is there is kept.
_SPELLINGS: Final = {"ExecutionType": "executionType", "default": "defaultValue"}

Object = dict[str, Any]


def merge(present: Mapping[str, Any], built: Mapping[str, Any]) -> Object:
    """Return *present* with what *built* states; the order of its names is kept.

    Parts of *present* that have an unexpected type are replaced.
    """
    tasks = _entries(present, "tasks")
    stated = {task["id"] for task in built["tasks"]}
    foreign = [task for task in tasks if _key(task, "id") not in stated]
    parts: Object = dict(built)
    parts["enabled"] = present.get("enabled", built["enabled"])
    parts["tasks"] = _merge_entries(tasks, built["tasks"], "id", extra=bool(foreign))
    parts["tasks"] = [_without_stale_result(task, built) for task in parts["tasks"]]
    parts["parameters"] = _merge_entries(
        _entries(present, "parameters"), built["parameters"], "name", extra=bool(foreign)
    )
    parts["mqttTopics"] = _merge_topics(present, built, extra=bool(foreign))
    if "schedule" in built:
        known = _object(present, "schedule")
        rest = {k: v for k, v in known.items() if k not in SCHEDULE_KINDS}
        kept = {k: v for k, v in known.items() if k in rest or k in built["schedule"]}
        parts["schedule"] = _place(kept, built["schedule"])
    if "events" in built:
        parts["events"] = _merge_events(present.get("events"), built["events"])
    if "osFilter" in built:
        parts["osFilter"] = _place(_object(present, "osFilter"), built["osFilter"])
    return _place(present, parts)


def _place(present: Mapping[str, Any], stated: Mapping[str, Any]) -> Object:
    """Return *present* with the values of *stated*; a new name comes after its neighbour there."""
    names = list(present)
    before: str | None = None
    values = dict(present)
    for wanted, value in stated.items():
        spellings = {wanted: None, _SPELLINGS.get(wanted, wanted): None}
        for name in [name for name in spellings if name in present] or [wanted]:
            if name not in names:
                names.insert(names.index(before) + 1 if before is not None else 0, name)
            values[name] = value
            before = name
    return {name: values[name] for name in names}


def _merge_entries(
    present: Sequence[Object], built: Sequence[Object], key: str, *, extra: bool
) -> list[Object]:
    """Return the entries of the code in its order; those that only the document has come after."""
    by_key = {_key(entry, key): entry for entry in present}
    merged = [_place(by_key.get(entry[key], {}), entry) for entry in built]
    stated = {entry[key] for entry in built}
    if not extra:
        return merged
    merged += [entry for entry in present if _key(entry, key) not in stated]
    order = {_key(entry, key): position for position, entry in enumerate(present)}
    return sorted(merged, key=lambda entry: order.get(_key(entry, key), len(order)))


def _without_stale_result(task: Object, built: Mapping[str, Any]) -> Object:
    stated = next((step for step in built["tasks"] if step["id"] == _key(task, "id")), None)
    if stated is None or _MERGE_STDOUT in stated:
        return task
    return {name: value for name, value in task.items() if name != _MERGE_STDOUT}


def _merge_topics(present: Mapping[str, Any], built: Mapping[str, Any], *, extra: bool) -> Object:
    known, stated = _object(present, "mqttTopics"), built["mqttTopics"]
    event_topics = (present.get("eventTopic"), f"Jobs/{built['id']}/events")
    lists = {}
    for name, topics in stated.items():
        there = known.get(name) if isinstance(known.get(name), list) else []
        kept = [topic for topic in there or [] if extra or topic in (*topics, *event_topics)]
        lists[name] = [*kept, *(topic for topic in topics if topic not in kept)]
    return _place(known, lists)


def _merge_events(present: Any, built: Sequence[Object]) -> list[Any]:
    listed = present if isinstance(present, list) else []
    by_type = {
        _key(event, "eventType") if isinstance(event, dict) else str(event): event
        for event in listed
    }
    return [by_type.get(event["eventType"], event) for event in built]


def _key(entry: Object, key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) else None


def _entries(document: Mapping[str, Any], name: str) -> list[Object]:
    value = document.get(name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _object(document: Mapping[str, Any], name: str) -> Object:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


class Drift(NamedTuple):
    """What writing the document would change.

    Attributes:
        document: The document as it should be: the one on disk, with what the code states.
        text: The same as it would be written.
        diff: A unified diff; empty when the document on disk says what the code says.
    """

    document: dict[str, Any]
    text: str
    diff: str


def drift(present: JobDocument | None, built: Mapping[str, Any], file: str) -> Drift:
    """Compare what is on disk with what the code makes.

    The layout of the file is not compared: a document that says the same has no drift. The head of
    the diff names *file*.
    """
    if present is None:
        before, document = "", dict(built)
        text = format_json(document)
    else:
        before, document = present.text(present.raw), merge(present.raw, built)
        text = present.text(document)
    names = (f"{file} (on disk)", f"{file} (from the code)")
    lines = difflib.unified_diff(before.splitlines(True), text.splitlines(True), *names)
    return Drift(document, text, "".join(lines))
