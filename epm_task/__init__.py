"""Job tasks for Keeper Endpoint Privilege Manager, written as functions."""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, which a file of the author may shadow
if TYPE_CHECKING:
    from epm_task.contract.topic import Topic
    from epm_task.errors import (
        AgentError,
        BrokerError,
        DeadlineExceeded,
        InvocationError,
        SettingsError,
        TaskError,
        TaskFailed,
        TemporaryFailure,
    )
    from epm_task.exit_code import ExitCode
    from epm_task.runtime.context import TaskContext
    from epm_task.runtime.settings import TaskSettings
    from epm_task.runtime.task import Task, task

__all__ = [
    "AgentError",
    "BrokerError",
    "DeadlineExceeded",
    "ExitCode",
    "InvocationError",
    "SettingsError",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskFailed",
    "TaskSettings",
    "TemporaryFailure",
    "Topic",
    "task",
]

__version__ = "0.1.0"
#: Where the project is at home: what findings, SBOMs and schemas point to.
__homepage__ = "https://github.com/epm-task/epm-task"

_HOMES = {
    "ExitCode": "epm_task.exit_code",
    "Task": "epm_task.runtime.task",
    "TaskContext": "epm_task.runtime.context",
    "TaskSettings": "epm_task.runtime.settings",
    "Topic": "epm_task.contract.topic",
    "task": "epm_task.runtime.task",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that a task pays only for what it uses."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from importlib import import_module  # noqa: PLC0415  # as all of Python's that is used here

        from epm_task.runtime.start_up import collector_paused  # noqa: PLC0415  # who imports late

        with collector_paused():
            value: object = getattr(import_module(_HOMES.get(name, "epm_task.errors")), name)
    except Exception as error:
        from epm_task.shadows import raise_shadow  # noqa: PLC0415  # a failure only

        raise_shadow(error)
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported yet or not."""
    return sorted({*globals(), *__all__})
