"""Read what the command line names: tasks and jobs in Python files, documents, settings, faults."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_origin

from epm_task.cli.output import Failure
from epm_task.contract.json_text import BadJson, read_object
from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.contract.tokens import nearest
from epm_task.errors import InvocationError
from epm_task.exit_code import ExitCode
from epm_task.job.document import read_job
from epm_task.job.job import Job
from epm_task.job.project import check_code, read_project
from epm_task.job.task_file import TaskFile, find_task, read_task_file
from epm_task.runtime.agent.address import loopback_ip
from epm_task.runtime.invocation import RUNTIME_ARGUMENTS, given_texts
from epm_task.runtime.program import shape
from epm_task.simulator.faults.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from epm_task.runtime.settings import TaskSettings
    from epm_task.runtime.task import Task

Name = TypeVar("Name", bound=str)


def one_of(option: str, given: str, known: Collection[Name]) -> Name:
    """Return the one of *known* that was given, in whatever case.

    Raises:
        Failure: It is none of them.
    """
    for name in known:
        if name.casefold() == given.casefold():
            return name
    raise Failure(f"{option} {given} is unknown", fix=f"choose one of {', '.join(known)}")


def split_target(target: str) -> tuple[Path, str | None]:
    """Return file and task of `FILE[:TASK]`, or of `PACKAGE.MODULE[:TASK]`.

    Raises:
        Failure: The file does not exist.
    """
    path, name = Path(target), None
    if not path.exists() and ":" in target[len(path.drive) :]:  # the colon of C: is none of ours
        text, _, name = target.rpartition(":")
        path = Path(text)
    if not path.is_file():
        path = _file_of_module(str(path)) or path
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise Failure(f"{path} {what}", fix="give the path of a Python file with a task")
    return path, name.replace("_", "-") if name else None


def _file_of_module(name: str) -> Path | None:
    """Return the file that `python -m NAME` runs here; no package is imported to find it."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    spec = PathFinder.find_spec(parts[0], [str(Path.cwd()), str(Path.cwd() / "src")])
    if spec is None and parts[0] not in sys.stdlib_module_names | sys.modules.keys():
        spec = find_spec(parts[0])
    inner = parts[1:]
    while spec is not None and (inner or spec.submodule_search_locations is not None):
        part = inner.pop(0) if inner else "__main__"
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations or [])
    return Path(os.path.relpath(spec.origin)) if spec and spec.origin else None


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
                fix="write PLUGIN.key=value, for example KeyScanner.max_bytes=10",
            )
        settings.setdefault(plugin, {})[key] = value
    return settings


def unread_settings(
    task: Task[..., object], settings: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield a sentence for each plugin and key that the task does not read."""
    model = task.handler.settings_type
    own = [model.plugin_id] if model else []
    for plugin, values in settings.items():
        if plugin not in [*own, SYSTEM_PLUGIN]:
            meant = nearest(plugin, own) or f"it reads {', '.join(own) or 'none'}"
            yield f"the task reads no settings of {plugin}; {meant}"
        elif model and plugin == model.plugin_id and not _takes_any_key(model):
            yield from _unread_keys(model, values)


def _unread_keys(model: type[TaskSettings], keys: Iterable[str]) -> Iterator[str]:
    known = list(_keys_of(model))
    for key in keys:
        if not (_has_key(model, key) or model.plugin_id == SYSTEM_PLUGIN):
            meant = nearest(key, known) or f"it has {', '.join(known)}"
            yield f"{model.plugin_id} has no setting {key}; {meant}"


def _has_key(model: type[TaskSettings], key: str) -> bool:
    from epm_task.runtime.settings import types_at  # noqa: PLC0415  # pydantic, which a model loads

    place, more = key, ""
    while place:
        if kinds := list(types_at(model, place)):
            return not more or any(map(_takes_any_key, kinds))
        place, more, _ = place.rpartition(".")
    return False


def _takes_any_key(kind: Any) -> bool:
    shape = get_origin(kind) or kind
    is_mapping = isinstance(shape, type) and issubclass(shape, Mapping)
    return is_mapping or kind is Any or getattr(kind, "model_config", {}).get("extra") == "allow"


def _keys_of(kind: type, *above: type) -> Iterator[str]:
    from epm_task.runtime.settings import fields_of, types_at  # noqa: PLC0415  # as above

    for name, inner in fields_of(kind):
        inside = {each for each in types_at(inner, "") if isinstance(each, type)} - {kind, *above}
        below = [f"{name}.{key}" for each in inside for key in _keys_of(each, kind, *above)]
        yield from below or [name]


def _settings_file(file: Path) -> dict[str, dict[str, Any]]:
    form = 'write {"Plugin": {"key": "value"}}'
    try:
        found = read_object(file, any_kind=True)
    except BadJson as error:
        raise Failure(f"--settings {file}: {error.what}", error.why, form) from error
    if not all(isinstance(v, dict) for v in found.values()):
        raise Failure(f"--settings {file} has another form", fix=form)
    return found


def read_faults(file: Path | None, assignments: Iterable[str]) -> Faults:
    """Return the faults of the file and of the command line.

    Raises:
        FaultError: They cannot be understood.
    """
    faults = Faults.from_toml(file) if file is not None else Faults()
    for assignment in assignments:
        faults.add(assignment)
    return faults


def broker_address(text: str) -> tuple[str, int]:
    """Return IP address and port of `HOST:PORT`.

    Raises:
        Failure: It has another form, or is not on loopback.
    """
    host, _, port = text.rpartition(":")
    ip = loopback_ip(host.strip("[]"))
    if ip is None or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise Failure(f"--broker {text} is not an address on loopback", fix="write 127.0.0.1:PORT")
    return ip, int(port)


def project_tasks() -> list[Path]:
    """Return the files of `tasks` in `[tool.epm-task]`, of the project around the current folder.

    Raises:
        Failure: The project names none.
        BadProject: Its pyproject.toml cannot be used.
    """
    named = read_project(Path.cwd()).tasks
    if not named:
        raise Failure(
            "no file with a task was given",
            "no project around this folder names its tasks",
            "give FILE[:TASK], or `tasks` in [tool.epm-task] of pyproject.toml",
        )
    return [Path(os.path.relpath(path)) for path in named]


def task_of(path: Path, name: str | None) -> Task[..., object] | None:
    """Return the task in a file that may be a program of another kind; None when it is.

    Raises:
        TaskFileError: The file cannot be imported, or holds no such task.
    """
    with redirect_stdout(sys.stderr):  # the file may print
        return find_task(path, name)


def check_required(task: Task[..., object], arguments: Sequence[str]) -> None:
    """Refuse to run a task without its required parameters; it would show the line of a job.

    Raises:
        Failure: It tells what to append to the command line; the exit code is the task's own, 64.
    """
    try:
        given = given_texts((*RUNTIME_ARGUMENTS, *task.parameters), arguments)
    except InvocationError:
        return  # the task says it, or answers `--help`
    absent = [p for p in task.parameters if p.required and not p.given(given.get(p.name, ()))]
    if absent:
        are = "are required and were" if len(absent) > 1 else "is required and was"
        what = f"{', '.join(one.option for one in absent)} {are} not given"
        hyphens = "" if arguments else "-- "
        words = " ".join(f"{p.option}{'' if p.flag else f' {shape(p)}'}" for p in absent)
        raise Failure(what, fix=f"append: {hyphens}{words}", exit_code=ExitCode.USAGE)


def declared_in(path: Path, *, admin: bool = False) -> TaskFile:
    """Return the tasks and jobs of the file; what its import prints goes to stderr.

    Raises:
        TaskFileError: It cannot be imported.
        UnsafeConfiguration: It is for an administrator's verb, as root, and not root's.
    """
    if admin:
        check_code(path)
    with redirect_stdout(sys.stderr):
        return read_task_file(path)


def job_of(targets: Sequence[str], *, admin: bool = False) -> Job:
    """Return the job that `FILE[:TASK] …` means.

    One file means its one job, or its one task; several targets mean a job of several tasks.

    Raises:
        TaskFileError: A file cannot be imported.
        Failure: It holds several tasks and none was named.
        DefinitionError: The tasks cannot be those of one job.
        UnsafeConfiguration: As `declared_in`.
    """
    files: dict[Path, TaskFile] = {}
    chosen: list[Job] = []
    for target in targets:
        path, name = split_target(target)
        if path not in files:
            files[path] = declared_in(path, admin=admin)
        chosen.append(_only_job(path, files[path], name))
    if len(chosen) == 1:
        return chosen[0]
    return Job(tasks=[task for job in chosen for task in job.tasks])


def _only_job(path: Path, declared: TaskFile, name: str | None) -> Job:
    if name in declared.jobs:
        return declared.jobs[name]
    if name in declared.tasks:
        return Job(tasks=[declared.tasks[name]])
    if name is None and len(declared.jobs) == 1:
        return next(iter(declared.jobs.values()))
    if name is None and not declared.jobs and len(declared.tasks) == 1:
        return Job(tasks=list(declared.tasks.values()))
    found = ", ".join([*declared.jobs, *declared.tasks])
    if not found:
        raise Failure(f"{path} holds no task", fix="decorate a function of it with @task")
    problem = f"has no task or job {name!r}" if name else "holds several tasks or jobs"
    raise Failure(f"{path} {problem}", fix=f"choose one, as {path}:NAME: {found}")


def read_documents(files: Iterable[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Return each file with the job document that it holds.

    Raises:
        Failure: A file cannot be read, or holds no job document; the place in it is told.
    """
    documents = []
    for file in files:
        try:
            documents.append((file, read_job(file).raw))
        except OSError as error:
            raise Failure(f"{file} cannot be read", error.strerror, "give a job file") from error
        except BadJson as error:
            raise Failure(f"{file}: {error.what}", error.why, error.fix) from error
    return documents
