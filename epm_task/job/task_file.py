"""Read the tasks and jobs that a Python file declares, by importing it."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from typing import TYPE_CHECKING, NamedTuple

from epm_task.errors import EpmTaskError
from epm_task.job.job import Job
from epm_task.runtime.task import LOOKED_AT, Task

if TYPE_CHECKING:
    from pathlib import Path


class TaskFileError(EpmTaskError):
    """A task file, or a task in it, cannot be used."""


class TaskFile(NamedTuple):
    """What a file declares.

    Attributes:
        tasks: The tasks whose functions are in the file, by name.
        jobs: The jobs, by id.
    """

    tasks: dict[str, Task[..., object]]
    jobs: dict[str, Job]

    def all_jobs(self) -> list[Job]:
        """Return the jobs, and one for the tasks of each job id that no `Job` names."""
        placed = [task for job in self.jobs.values() for task in job.tasks]
        by_id: dict[str, list[Task[..., object]]] = {}
        for task in self.tasks.values():
            if task not in placed and task.declaration.job_id not in self.jobs:
                by_id.setdefault(task.declaration.job_id, []).append(task)
        return [*self.jobs.values(), *(Job(tasks=tasks) for tasks in by_id.values())]


def find_task(path: Path, name: str | None = None) -> Task[..., object] | None:
    """Return the task in the file, the one called *name* when it holds several.

    A file that does not name this package holds no task of ours, and is not imported.

    Raises:
        TaskFileError: The file cannot be imported, or *name* does not choose one task.
    """
    ours = path.suffix == ".py" and b"epm_task" in path.read_bytes()
    tasks = read_task_file(path).tasks if ours else {}
    if name is None and len(tasks) <= 1:
        return next(iter(tasks.values()), None)
    if name in tasks:
        return tasks[name]
    problem = f"has no task {name!r}" if name else "holds several tasks"
    found = ", ".join(tasks) or "no task"
    raise TaskFileError(f"{path} {problem}", f"it holds {found}", "choose one: FILE:TASK")


def read_task_file(path: Path) -> TaskFile:
    """Import the file and return what it declares.

    Raises:
        TaskFileError: The file cannot be imported.
    """
    # A name of its own, so that it can neither shadow nor become another module.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    name = f"{LOOKED_AT}{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TaskFileError(f"{path} is not a Python file", fix="give a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses, pydantic and `Task.siblings` look their module up
    sys.path.insert(0, str(path.resolve().parent))  # as `python FILE` has it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        why = f"{type(error).__name__}: {error}"
        fix = f"`python {path} --help` must work"
        raise TaskFileError(f"{path} cannot be imported", why, fix) from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    values = list(vars(module).values())
    tasks = [value for value in values if isinstance(value, Task)]
    own = {task.name: task for task in tasks if task.file.resolve() == path.resolve()}
    return TaskFile(own, {value.id: value for value in values if isinstance(value, Job)})
