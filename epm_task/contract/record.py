"""A record, as the agent receives it, is one structured log entry of a task."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


#: A message that names no level, or none that the agent knows.
_NO_LEVEL = "Information"


@dataclass(frozen=True, slots=True)
class Record:
    """One log entry.

    Attributes:
        message: What happened.
        level: `Trace`, `Debug`, `Information`, `Warning`, `Error` or `Critical`.
        timestamp: ISO 8601, as the task wrote it.
        source: Where in the task it comes from.
        job_id: The job, as the task wrote it.
        job_name: The job's name, as the task wrote it.
        run_id: The task's own id of its run.
        seq: Its number in that run; with `run_id` it identifies a record that came twice.
        properties: The author's own fields.
        source_channel: `broker`, or `stderr` for one that was mirrored or spilled there only.
    """

    message: str
    level: str = _NO_LEVEL
    timestamp: str = ""
    source: str = ""
    job_id: str = ""
    job_name: str = ""
    run_id: str = ""
    seq: int | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    source_channel: Literal["broker", "stderr"] = "broker"

    @classmethod
    def from_payload(cls, payload: bytes) -> Record:
        """Return the record that a KeeperLogger message is; text that is no JSON is its message."""
        found = _read(payload)
        if found is None:
            return cls(payload.decode("utf-8", "replace"))
        return _build(found, "broker")

    @classmethod
    def from_line(cls, line: bytes) -> Record | None:
        """Return the record that a line of stderr holds; None for another kind of line."""
        found = _read(line) if line.startswith(b"{") else None
        if found is None or not {"message", "level", "runId", "seq"} <= found.keys():
            return None
        return _build(found, "stderr")

    @property
    def identity(self) -> tuple[str, int] | None:
        """What two copies of one record have in common; None when the task gave it no number."""
        return (self.run_id, self.seq) if self.run_id and self.seq is not None else None


def _read(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _build(found: dict[str, Any], channel: Literal["broker", "stderr"]) -> Record:
    seq, properties = found.get("seq"), found.get("properties")
    texts = {name: found.get(name) for name in ("timestamp", "source", "jobId", "jobName", "runId")}
    timestamp, source, job_id, job_name, run_id = (
        "" if text is None else str(text) for text in texts.values()
    )
    return Record(
        str(found.get("message", "")),
        str(found.get("level") or _NO_LEVEL),
        timestamp,
        source,
        job_id,
        job_name,
        run_id,
        seq if isinstance(seq, int) else None,
        properties if isinstance(properties, dict) else {},
        channel,
    )


#: ANSI colours by level; the terminal's own palette decides on the shade.
_COLORS: Final = {
    "Trace": "90",
    "Debug": "90",
    "Information": "36",
    "Warning": "33",
    "Error": "31",
    "Critical": "1;31",
}
_SHORT: Final = {"Information": "Info"}


def view(record: Mapping[str, Any], *, color: bool) -> str:
    """Return time, level, message and fields; control characters cannot reach the terminal."""
    level = str(record.get("level", ""))
    given = record.get("properties") or {}
    # Anybody may write to the topic, and not all records are ours.
    properties = dict(given) if isinstance(given, dict) else {"properties": given}
    trace = str(properties.pop("exception", ""))
    name = f"{printable(_SHORT.get(level, level)):<8}"
    if color and level in _COLORS:
        name = f"\x1b[{_COLORS[level]}m{name}\x1b[0m"
    fields = "".join(f"  {printable(key)}={_value(value)}" for key, value in properties.items())
    clock = str(record.get("timestamp", ""))[11:23]
    line = f"{printable(clock)}  {name}  {printable(str(record.get('message', '')))}{fields}"
    indented = "".join(f"\n    {printable(part)}" for part in trace.splitlines())
    return line + indented


def show_line(line: bytes) -> bytes:
    """Return a record of the pipe as people read it on this terminal."""
    text = view(json.loads(line), color=not os.environ.get("NO_COLOR"))
    return text.encode("utf-8", "backslashreplace")


def printable(text: str) -> str:
    """Return *text* with every control character written as an escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _value(value: object) -> str:
    if isinstance(value, str) and value and not any(c.isspace() or c == "=" for c in value):
        return printable(value)
    return printable(json.dumps(value, ensure_ascii=False))
