"""Project tasks are the task files that a project names, for verbs that are given no file."""

from __future__ import annotations

import os
from pathlib import Path

from epm_task.cli.failure import Failure
from epm_task.job.lint_settings import BadLintSettings, find_settings


def project_tasks() -> list[Path]:
    """Return the files of `tasks` in `[tool.epm-task]`, of the project around the current folder.

    Raises:
        Failure: The project names none, or its pyproject.toml cannot be read.
    """
    try:
        named = find_settings(Path.cwd() / "pyproject.toml").tasks
    except BadLintSettings as error:
        raise Failure(str(error), "correct it") from error
    if not named:
        raise Failure(
            "no file with a task was given, and there is no project here that names its tasks",
            "give FILE[:TASK], or `tasks` in [tool.epm-task] of pyproject.toml",
        )
    return [Path(os.path.relpath(path)) for path in named]
