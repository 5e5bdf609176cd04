"""Freeze inputs are what the words of `epm-task freeze` become before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from epm_task.cli.failure import Failure
from epm_task.cli.run_inputs import split_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def before_and_after(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the targets, and the arguments of the task; those begin with a hyphen."""
    first = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    return list(words[:first]), list(words[first:])


def files_and_tasks(targets: Iterable[str]) -> dict[Path, list[str]]:
    """Return the tasks that are named of each file; an empty list stands for all of them.

    Raises:
        Failure: There is no such file.
    """
    found: dict[Path, list[str]] = {}
    for target in targets:
        path, name = split_target(target)
        found.setdefault(path, []).extend([name] if name else [])
    return found


def data_pair(text: str) -> tuple[Path, str]:
    """Return file and folder of `PATH=FOLDER`; without `=` it goes to the top.

    Raises:
        Failure: There is no such file.
    """
    name, _, folder = text.partition("=")
    path = Path(name)
    if not path.exists():
        raise Failure(f"--data {name} is not there", "write PATH=FOLDER")
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise Failure(f"--data {text} leads out of the program", "name a folder inside of it")
    return path, folder or "."
