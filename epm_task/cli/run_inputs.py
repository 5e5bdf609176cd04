"""Run inputs are what the options of `epm-task run` and `agent` become before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epm_task.cli.failure import Failure
from epm_task.simulator.fault_rule import FaultError
from epm_task.simulator.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Iterable


def split_target(target: str) -> tuple[Path, str | None]:
    """Return file and task of `FILE[:TASK]`.

    Raises:
        Failure: There is no such file.
    """
    path, name = Path(target), None
    if not path.exists() and ":" in target:  # the colon of C:\\ is part of a file that exists
        text, _, name = target.rpartition(":")
        path = Path(text)
    if not path.is_file():
        problem = f"{path} is no file" if path.exists() else f"there is no file {path}"
        raise Failure(problem, "give the path of a Python file with a task")
    return path, name.replace("_", "-") if name else None


def read_settings(file: Path | None, assignments: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return settings by plugin and key, those of the assignments above those of the file.

    Raises:
        Failure: The file is not `{"Plugin": {"key": value}}`, or an assignment has another form.
    """
    settings = _settings_file(file) if file is not None else {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        plugin, dot, key = name.partition(".")
        if not (equals and dot and plugin and key):
            raise Failure(
                f"--setting {name} names no plugin and key",
                "write PLUGIN.key=value, for example KeyScanner.max_bytes=10",
            )
        settings.setdefault(plugin, {})[key] = value
    return settings


def read_faults(file: Path | None, words: Iterable[str]) -> Faults:
    """Return the faults of the file and of the command line.

    Raises:
        Failure: They cannot be understood.
    """
    try:
        faults = Faults.from_toml(file) if file is not None else Faults()
        for word in words:
            faults.add(word)
    except FaultError as error:
        raise Failure(str(error), "docs/simulator.md lists the words") from error
    return faults


def _settings_file(file: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Failure(f"--settings {file} cannot be read: {error}", "give a JSON file") from error
    if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
        raise Failure(f"--settings {file} has another form", 'write {"Plugin": {"key": "value"}}')
    return found
