"""A look at a task file imports it in a process of its own and says what a program of it needs.

`python -m epm_task.freeze.look FILE` prints one JSON object. The process is a fresh one, so that
what the file imports can be told from what the command line had imported already.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from epm_task import runtime
from epm_task.freeze.unused import OTHER_SYSTEMS, SETTINGS
from epm_task.job.command_name import command_name
from epm_task.job.task_file import TaskFileError, read_task_file

if TYPE_CHECKING:
    from epm_task.runtime.task import Task


def look(path: Path) -> dict[str, Any]:
    """Return what the file declares and imports.

    Raises:
        TaskFileError: The file cannot be imported.
    """
    declared = read_task_file(path)
    for task in declared.tasks.values():
        _load_parsers(task)
    pydantic = "pydantic" in sys.modules
    asyncio = "asyncio" in sys.modules
    _load_runtime()
    jobs = declared.all_jobs()
    return {
        "tasks": [_facts(task) for task in declared.tasks.values()],
        "jobs": [
            {"tasks": [task.name for task in job.tasks], "document": job.document()} for job in jobs
        ],
        "pydantic": pydantic,
        "asyncio": asyncio or any(task.handler.is_async for task in declared.tasks.values()),
        "modules": _files(),
    }


def _files() -> dict[str, str]:
    """Return the files of the modules that were loaded since this package was."""
    names = list(sys.modules)  # in the order in which they were loaded; `site` comes first
    later = sorted(names[names.index("epm_task") :])
    files = {name: getattr(sys.modules[name], "__file__", None) for name in later}
    return {name: file for name, file in files.items() if file and name != "__main__"}


def _facts(task: Task[..., Any]) -> dict[str, Any]:
    settings = task.handler.settings_type
    return {
        "name": task.name,
        "command": command_name(task),
        "job_id": task.declaration.job_id,
        "publishes": task.declaration.own_publications,
        "plugin": settings.plugin_id if settings else None,
        "required": {
            one.option: "path" if one.kind is Path else "value"
            for one in task.parameters
            if one.required
        },
    }


def _load_runtime() -> None:
    """Import what a run loads late, so that it is among the modules."""
    for module in iter_modules(runtime.__path__, f"{runtime.__name__}."):
        if module.name not in {SETTINGS, *OTHER_SYSTEMS}:
            import_module(module.name)


def _load_parsers(task: Task[..., Any]) -> None:
    """Make each parameter load what reads its values: pydantic, when the type is a rich one."""
    for parameter in task.parameters:
        with suppress(Exception):  # the text is no value of most types, and that is no matter here
            parameter.parse("x")


def main() -> None:
    """Print what the look at the file of the command line shows, or why there is none."""
    path = Path(sys.argv[1])
    try:
        with redirect_stdout(sys.stderr):  # the file may print
            seen = look(path)
    except TaskFileError as error:
        seen = {"error": str(error)}
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
