"""An option that several verbs have is described once."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from epm_task.cli.output import Failure
from epm_task.errors import DefinitionError
from epm_task.job.document import JobDocument
from epm_task.job.job import Job
from epm_task.job.json_source import MAX_BYTES
from epm_task.job.linter import BadLintSettings, find_settings
from epm_task.job.task_file import TaskFile, TaskFileError, read_task_file
from epm_task.simulator.faults.faults import Faults as AgentFaults
from epm_task.simulator.faults.rule import FaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from epm_task.runtime.task import Task


Setting: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="PLUGIN.key=value", help="A compiled-in setting; repeatable."),
]
Settings: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help='JSON: {"Plugin": {"key": "value"}}.')
]
Fault: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="WORDS", help='A fault, "api status=403 times=3"; repeatable.'),
]
Faults: TypeAlias = Annotated[Path | None, typer.Option(metavar="FILE", help="Faults in TOML.")]
Record: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write what passes, secrets masked.")
]
Trace: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write every decision as a JSON line.")
]


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


def read_faults(file: Path | None, words: Iterable[str]) -> AgentFaults:
    """Return the faults of the file and of the command line.

    Raises:
        Failure: They cannot be understood.
    """
    try:
        faults = AgentFaults.from_toml(file) if file is not None else AgentFaults()
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


def read_job(file: Path) -> JobDocument:
    """Return the document in *file*.

    Raises:
        BadSource: The file holds no job document.
        OSError: The file cannot be read.
    """
    with file.open("rb") as stream:
        return JobDocument.parse(stream.read(MAX_BYTES + 1))
