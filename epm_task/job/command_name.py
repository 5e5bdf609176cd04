"""A command name is what the executable of a task is called, without path or extension."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epm_task.runtime.task import Task


def command_name(task: Task[..., Any]) -> str:
    """Return the name of the executable that holds *task*: `KeyScanner`, without path or extension.

    One file becomes one executable, which is named for its only task's job, or for the file.
    """
    if task.declaration.command:
        return task.declaration.command
    alone = len(task.siblings()) == 1
    words = task.declaration.job_id if alone else Path(task.file).stem
    parts = re.split(r"[^0-9A-Za-z]+", words)
    return "".join(part[:1].upper() + part[1:] for part in parts) or "Task"
