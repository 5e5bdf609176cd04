"""Show a plan of a deployment: as lines for people, or as plain data for programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from epm_task.admin.deploy.plan import Action, Change, Part, Plan, count
from epm_task.contract.record import printable

_MARKS: Final[dict[Action, str]] = {"add": "+", "change": "~", "remove": "-"}
#: Twelve digits are enough for people to tell two digests apart; programs get all of them.
_DIGEST: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
#: A one-dir program has hundreds of files, and people read a screen.
_MOST_FILES: Final = 20
_COLORS: Final[dict[Action, str]] = {"add": "32", "change": "33", "remove": "31"}


def plan_text(plans: Sequence[Plan], *, color: bool = False) -> str:
    """Return the plans as lines, and the numbers in the last one."""
    lines = [
        line for plan in plans for change in plan.changes for line in _lines(change, color=color)
    ]
    return "\n".join([*lines, _last_line(plans)])


def plan_facts(plans: Sequence[Plan]) -> dict[str, Any]:
    """Return the plans as plain data."""
    changes = [
        {
            "action": change.action,
            "kind": change.kind,
            "name": change.name,
            "bundle": plan.bundle.name,
            "parts": [part._asdict() for part in change.parts],
        }
        for plan in plans
        for change in plan.changes
    ]
    return {"changes": changes, "count": count(plans)}


def part_lines(parts: Sequence[Part], *, intro: str = ": ", color: bool = False) -> Iterator[str]:
    """Yield the differences of two documents as lines; *intro* is written before the values."""
    for part in parts:
        yield _line(part.action, part.place or "/", _values(part, intro), color=color)


def _last_line(plans: Sequence[Plan]) -> str:
    numbers = count(plans)
    head = "Plan" if any(numbers.values()) else "Nothing to do"
    return f"{head}: " + ", ".join(f"{numbers[action]} to {action}" for action in _MARKS) + "."


def _lines(change: Change, *, color: bool) -> list[str]:
    head = _line(change.action, f"{change.kind} {change.name}", "", color=color)
    if change.action == "remove":
        return [head]
    shown = _shown(change)
    intro = "  sha256 " if change.kind == "program" else ": "
    parts = list(part_lines(shown, intro=intro, color=color))
    if more := len(change.parts) - len(shown):
        parts.append(f"… and {more} more files; --json lists them all")
    return [head, *(f"    {line}" for line in parts)]


def _shown(change: Change) -> Sequence[Part]:
    if change.kind != "program" or len(change.parts) <= _MOST_FILES:
        return change.parts
    # The program's own files before those of the libraries below it.
    return sorted(change.parts, key=lambda part: "/" in part.place)[:_MOST_FILES]


def _line(action: Action, name: str, values: str, *, color: bool) -> str:
    mark = _MARKS[action]
    if color:
        mark = f"\x1b[{_COLORS[action]}m{mark}\x1b[0m"
    return f"{mark} {printable(name)}{printable(values)}"


def _values(part: Part, intro: str) -> str:
    """Return `: 60 -> 120` for a field, `  sha256 1f2e -> 9a8b` for a file."""
    values = [value for value in (part.before, part.after) if value]
    return intro + _DIGEST.sub(r"\1", " -> ".join(values)) if values else ""
