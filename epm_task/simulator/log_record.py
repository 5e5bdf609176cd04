"""A record, as the agent receives it, is one structured log entry of a task."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

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
