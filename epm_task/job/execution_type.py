"""An execution type says as whom the agent starts a task."""

from __future__ import annotations

from typing import Any, Final, get_args

from epm_task.runtime.declaration import ExecutionType

EXECUTION_TYPES: Final[tuple[ExecutionType, ...]] = get_args(ExecutionType)


def execution_type_of(task: dict[str, Any]) -> object:
    """Return the task's execution type; both spellings of the key count, `Service` is the default.

    The answer is whatever the document holds, which may be no execution type.
    """
    found = task.get("ExecutionType", task.get("executionType"))
    return "Service" if found is None else found
