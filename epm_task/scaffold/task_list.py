"""The task list is `tasks` in `[tool.epm-task]` of a project: the files that hold its tasks."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, Final

from epm_task.scaffold.scaffold_error import ScaffoldError

_TABLE: Final = re.compile(r"^\[tool\.epm-task\][ \t]*(?:#.*)?$", re.MULTILINE)
_LIST: Final = re.compile(r"^tasks[ \t]*=[ \t]*\[(.*?)[,\s]*\]", re.MULTILINE | re.DOTALL)


def with_task(pyproject: str, file: str) -> str:
    """Return the text of a pyproject.toml with *file* in the task list, all else untouched.

    Raises:
        ScaffoldError: The text is no TOML, or its list stands in a form that cannot be extended.
    """
    wanted = _read(pyproject)
    table = wanted.setdefault("tool", {}).setdefault("epm-task", {})
    table["tasks"] = [*table.get("tasks", []), file]
    changed = _extended(pyproject, json.dumps(file))
    if _read(changed) != wanted:
        raise ScaffoldError(
            "pyproject.toml names its tasks in a form that cannot be extended",
            'write tasks = ["FILE"] below [tool.epm-task]',
        )
    return changed


def _extended(text: str, quoted: str) -> str:
    table = _TABLE.search(text)
    if table is None:
        return f"{text.rstrip()}\n\n[tool.epm-task]\ntasks = [{quoted}]\n"
    found = _LIST.search(text, table.end())
    if found is None:
        return f"{text[: table.end()]}\ntasks = [{quoted}]{text[table.end() :]}"
    comma = ", " if found[1].strip() else ""
    return f"{text[: found.end(1)]}{comma}{quoted}{text[found.end(1) :]}"


def _read(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScaffoldError(f"pyproject.toml cannot be read: {error}", "correct it") from error
