"""A job target is the words on the command line that choose the tasks of one job."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from epm_task.cli.failure import Failure
from epm_task.cli.run_inputs import split_target
from epm_task.errors import DefinitionError
from epm_task.job.job import Job
from epm_task.job.task_file import TaskFile, TaskFileError, read_task_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from epm_task.runtime.task import Task


def job_of(targets: Sequence[str]) -> Job:
    """Return the job that `FILE[:TASK] …` means.

    One file stands for its one job, or its one task; several targets for a job of several tasks.

    Raises:
        Failure: A file cannot be imported, or the words do not choose.
    """
    if len(targets) == 1:
        path, name = split_target(targets[0])
        return _only_job(path, declared_in(path), name)
    files: dict[Path, TaskFile] = {}
    tasks: list[Task[..., object]] = []
    for target in targets:
        path, name = split_target(target)
        if path not in files:
            files[path] = declared_in(path)
        tasks += _only_job(path, files[path], name).tasks
    return _made(tasks)


def declared_in(path: Path) -> TaskFile:
    """Return the tasks and jobs of the file; what its import prints goes to stderr.

    Raises:
        Failure: It cannot be imported.
    """
    try:
        with redirect_stdout(sys.stderr):
            return read_task_file(path)
    except TaskFileError as error:
        raise Failure(str(error), "`python FILE --help` must work") from error


def _only_job(path: Path, declared: TaskFile, name: str | None) -> Job:
    if name in declared.jobs:
        return declared.jobs[name]
    if name in declared.tasks:
        return _made([declared.tasks[name]])
    if name is None and len(declared.jobs) == 1:
        return next(iter(declared.jobs.values()))
    if name is None and not declared.jobs and len(declared.tasks) == 1:
        return _made(list(declared.tasks.values()))
    found = ", ".join([*declared.jobs, *declared.tasks])
    if not found:
        raise Failure(f"{path} holds no task", "decorate a function of it with @task")
    problem = f"has no task or job {name!r}" if name else "holds several tasks or jobs"
    raise Failure(f"{path} {problem}", f"choose one, as {path}:NAME: {found}")


def _made(tasks: Sequence[Task[..., object]]) -> Job:
    try:
        return Job(tasks=tasks)
    except DefinitionError as error:
        raise Failure(str(error), "correct the declarations") from error
