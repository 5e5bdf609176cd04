"""A record view is the one line in which people read a record."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

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
