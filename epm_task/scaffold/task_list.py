"""The task list is `tasks` in `[tool.epm-task]` of a project: the files that hold its tasks."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, Final

from epm_task.scaffold.scaffold_error import ScaffoldError

_TABLE: Final = re.compile(r"^\[tool\.epm-task\][ \t]*(?:#[^\r\n]*)?(?=\r?$)", re.MULTILINE)
_LIST: Final = re.compile(r"^tasks[ \t]*=[ \t]*\[(.*?)[,\s]*\]", re.MULTILINE | re.DOTALL)


def with_task(pyproject: str, file: str) -> str:
    """Return the text of a pyproject.toml with *file* in the task list, all else untouched.

    Raises:
        ScaffoldError: The text is no TOML, or its list stands in a form that cannot be extended.
    """
    try:
        wanted = tomllib.loads(pyproject)
    except tomllib.TOMLDecodeError as error:
        raise ScaffoldError(f"pyproject.toml cannot be read: {error}", "correct it") from error
    table = wanted.setdefault("tool", {}).setdefault("epm-task", {})
    table["tasks"] = [*table.get("tasks", []), file]
    changed = _extended(pyproject, json.dumps(file))
    if not _says(changed, wanted):
        raise ScaffoldError(
            "pyproject.toml names its tasks in a form that cannot be extended",
            'write tasks = ["FILE"] below [tool.epm-task]',
        )
    return changed


def _extended(text: str, quoted: str) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    line = f"tasks = [{quoted}]"
    table = _TABLE.search(text)
    if table is None:
        return end.join([text.rstrip(), "", "[tool.epm-task]", line, ""])
    found = _LIST.search(text, table.end())
    if found is None:
        return f"{text[: table.end()]}{end}{line}{text[table.end() :]}"
    comma = ", " if found[1].strip() else ""
    return f"{text[: found.end(1)]}{comma}{quoted}{text[found.end(1) :]}"


def _says(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False
