"""The fields of a KeeperLogger record: as a task writes them, as others read and show them.

The vendor does not publish them. Our assumption is here alone: eleven fields, where the author's
own are below `properties`, so that they cannot forge any of the others, and where `runId` with
`seq` identifies a record that arrives twice, as QoS 1 allows.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What each holds, `Record` says.
TIMESTAMP: Final = "timestamp"
LEVEL: Final = "level"
MESSAGE: Final = "message"
SOURCE: Final = "source"
JOB_ID: Final = "jobId"
JOB_NAME: Final = "jobName"
RUN_ID: Final = "runId"
TRACE_ID: Final = "traceId"
SPAN_ID: Final = "spanId"
SEQ: Final = "seq"
PROPERTIES: Final = "properties"

#: A message that names no level, or none that the agent knows.
_NO_LEVEL: Final = "Information"


class Record(NamedTuple):
    """One record, as it was received.

    Attributes:
        message: What happened.
        level: `Trace`, `Debug`, `Information`, `Warning`, `Error` or `Critical`.
        timestamp: ISO 8601, in UTC as our tasks write it.
        source: Where in the task it comes from.
        job_id: The job, as the task wrote it.
        job_name: The job's name, as the task wrote it.
        run_id: The task's own id of its run.
        seq: Its number in that run, from 1.
        trace_id: The trace of which the run is a part, 32 hexadecimal digits.
        span_id: The span of that trace, 16 hexadecimal digits.
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
    properties: dict[str, Any] = {}  # noqa: RUF012  # nobody changes it
    source_channel: Literal["broker", "stderr"] = "broker"
    trace_id: str = ""
    span_id: str = ""

    @classmethod
    def from_payload(cls, payload: bytes) -> Record:
        """Return the record in a KeeperLogger message; text that is not JSON is its message."""
        found = read_fields(payload)
        if found is None:
            return cls(payload.decode("utf-8", "replace"))
        return _build(found, "broker")

    @classmethod
    def from_line(cls, line: bytes) -> Record | None:
        """Return the record that a line of stderr holds; None for another kind of line."""
        found = read_fields(line) if line.startswith(b"{") else None
        if found is None or not {MESSAGE, LEVEL, RUN_ID, SEQ} <= found.keys():
            return None
        return _build(found, "stderr")

    @property
    def identity(self) -> tuple[str, int] | None:
        """What two copies of one record have in common; None when the task gave it no number."""
        return (self.run_id, self.seq) if self.run_id and self.seq is not None else None


def read_fields(data: bytes) -> dict[str, Any] | None:
    """Return the fields of a message or a line, None for other data.

    Not strict: of a record that is odd, people want to see as much as they can.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _build(found: dict[str, Any], channel: Literal["broker", "stderr"]) -> Record:
    def text(name: str) -> str:
        """Return a field as text, "" for one that is absent."""
        value = found.get(name)
        return "" if value is None else str(value)

    seq, properties = found.get(SEQ), found.get(PROPERTIES)
    return Record(
        str(found.get(MESSAGE, "")),
        str(found.get(LEVEL) or _NO_LEVEL),
        text(TIMESTAMP),
        text(SOURCE),
        text(JOB_ID),
        text(JOB_NAME),
        text(RUN_ID),
        seq if isinstance(seq, int) else None,
        properties if isinstance(properties, dict) else {},
        channel,
        text(TRACE_ID),
        text(SPAN_ID),
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


def view(record: Mapping[str, Any], *, color: bool, whose: str = "") -> str:
    """Return time, *whose* it is, level, message and fields; no control character is in them."""
    level = str(record.get(LEVEL, ""))
    given = record.get(PROPERTIES) or {}
    # Anybody may write to the topic, and not all records are ours.
    properties = dict(given) if isinstance(given, dict) else {PROPERTIES: given}
    trace = "\n".join(str(properties.pop(name, "")) for name in ("stack", "stacks", "exception"))
    name = f"{printable(_SHORT.get(level, level)):<8}"
    if color and level in _COLORS:
        name = f"\x1b[{_COLORS[level]}m{name}\x1b[0m"
    fields = "".join(f"  {printable(key)}={_value(value)}" for key, value in properties.items())
    clock = str(record.get(TIMESTAMP, ""))[11:23]
    who = f"{printable(whose)}  " if whose else ""
    line = f"{printable(clock)}  {who}{name}  {printable(str(record.get(MESSAGE, '')))}{fields}"
    indented = "".join(f"\n    {printable(part)}" for part in trace.strip("\n").splitlines())
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
