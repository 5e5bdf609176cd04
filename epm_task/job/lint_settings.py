"""Lint settings are what a project says about lints, in `[tool.epm-task]` of its pyproject.toml."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_NAMES: Final = ("select", "ignore", "tasks")


class BadLintSettings(ValueError):
    """The pyproject.toml cannot be read, or a value has another form; the text names the file."""


class LintSettings(NamedTuple):
    """What a project says.

    Attributes:
        select: Codes; empty stands for all.
        ignore: Codes.
        tasks: Python files whose jobs are compared with the documents; they are imported.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    tasks: tuple[Path, ...] = ()


def find_settings(file: Path) -> LintSettings:
    """Return the settings of the nearest pyproject.toml with such a table, upward from *file*.

    Raises:
        BadLintSettings: That file cannot be used.
    """
    for folder in file.absolute().parents:
        candidate = folder / "pyproject.toml"
        if candidate.is_file() and (table := _table(candidate)) is not None:
            return _read(candidate, table)
    return LintSettings()


def _table(file: Path) -> dict[str, Any] | None:
    try:
        table = tomllib.loads(file.read_text("utf-8")).get("tool", {}).get("epm-task")
    except (OSError, ValueError) as error:
        raise BadLintSettings(f"{file} cannot be read: {error}") from error
    if table is not None and not isinstance(table, dict):
        raise BadLintSettings(f"{file}: [tool.epm-task] must be a table")
    return table


def _read(file: Path, table: dict[str, Any]) -> LintSettings:
    lists: dict[str, tuple[str, ...]] = {}
    for name in _NAMES:
        value = table.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise BadLintSettings(f'{file}: {name} in [tool.epm-task] must be like ["EPM012"]')
        lists[name] = tuple(value)
    tasks = tuple(file.parent / name for name in lists["tasks"])
    return LintSettings(lists["select"], lists["ignore"], tasks)
