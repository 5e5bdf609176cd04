"""Read the tasks and jobs that a Python file declares, by importing it."""

from __future__ import annotations

import ast
import errno
import hashlib
import importlib.util
import os
import sys
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from epm_task.errors import EpmTaskError
from epm_task.job.job import Job
from epm_task.runtime.task import LOOKED_AT, Task
from epm_task.shadows import described, shadow, shadow_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


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
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    package = package_module(path)
    name = f"{package.parent}.{LOOKED_AT}{digest}" if package else f"{LOOKED_AT}{digest}"
    loader = _FreshSource(name, str(path)) if path.suffix == ".py" else None
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None or spec.loader is None:
        raise TaskFileError(f"{path} is not a Python file", fix="give a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    folder = package.root if package else path.resolve().parent
    if file := shadow("epm_task", str(folder)):  # no task there can import this package
        raise TaskFileError(*described(file, "epm_task"))
    with _importing_from(folder, name):
        sys.modules[name] = module  # dataclasses, pydantic and `Task.siblings` look there
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            if shadowed := shadow_of(error):
                raise TaskFileError(*shadowed) from error
            why = f"{type(error).__name__}: {error}"
            command = f"-m {package.name}` in {package.root}" if package else f"{path}`"
            fix = f"`python {command.replace('`', ' --help`')} must work"
            raise TaskFileError(f"{path} cannot be imported", why, fix) from error
    values = list(vars(module).values())
    tasks = [value for value in values if isinstance(value, Task)]
    own = {task.name: task for task in tasks if task.file.resolve() == path.resolve()}
    return TaskFile(own, {value.id: value for value in values if isinstance(value, Job)})


class _FreshSource(SourceFileLoader):
    """Compiles the file each time.

    Bytecode is compared with its source by size and whole second: a quick edit would not be seen.
    """

    def path_stats(self, path: str) -> NoReturn:
        """Say that nothing is known, by which bytecode could be compared."""
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), path)


class PackageModule(NamedTuple):
    """A file that only works as part of a package: as `python -m NAME`, with *root* on the path."""

    root: Path
    name: str

    @property
    def parent(self) -> str:
        """The package, with dots."""
        return self.name.rpartition(".")[0]


def package_module(path: Path, task: Task[..., object] | None = None) -> PackageModule | None:
    """Return the module that a file is in its package; None for one that runs as a script.

    A *task* that was imported as part of a package stays part of it. A file is part of one when it
    imports relatively, or from its own package by name; a folder without `__init__.py` is a package
    as far as the relative imports lead up.
    """
    path = Path(os.path.normpath(path.absolute()))
    parent: str = task.handler.source.__globals__.get("__package__") or "" if task else ""
    depth = parent.count(".") + 1 if parent else 0
    if not depth or ".".join(path.parts[-1 - depth : -1]) != parent:
        depth = _depth(path)
    folders = path.parts[1:-1][-depth:] if depth else ()
    if not folders or any("." in folder for folder in folders):
        return None
    return PackageModule(path.parents[len(folders)], ".".join((*folders, path.stem)))


def _depth(path: Path) -> int:
    """Return how many folders above the file are its packages."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # who imports it says so
        return 0
    levels, names = [0], set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            levels.append(node.level)
            names.add((node.module or "").partition(".")[0] if not node.level else "")
        elif isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
    regular = 0
    while regular < len(path.parents) and (path.parents[regular] / "__init__.py").is_file():
        regular += 1
    own = path.parents[regular - 1].name if regular else ""
    by_name = own in names - {""} - sys.stdlib_module_names
    return max(regular, *levels) if max(levels) or by_name else 0


@contextmanager
def _importing_from(folder: Path, name: str) -> Iterator[None]:
    """Import from *folder* first, as Python does for `python FILE`; *name* is that of the module.

    Afterwards no module of the folder is in the place of another's: neither of a package of the
    same name in another folder, nor of the standard library.
    """
    top, dot, _ = name.partition(".")
    others = {
        key: module
        for key, module in list(sys.modules.items())  # an agent's thread may import meanwhile
        if dot and key.partition(".")[0] == top and not _is_of(folder, key, module)
    }
    for key in others:
        del sys.modules[key]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        names = sys.stdlib_module_names | ({top} if others else set())
        left = [
            key
            for key, module in list(sys.modules.items())  # an agent's thread may import meanwhile
            if key.partition(".")[0] in names and key != name and _is_of(folder, key, module)
        ]
        for key in left:
            del sys.modules[key]
        sys.modules.update(others)


def _is_of(folder: Path, name: str, module: ModuleType) -> bool:
    """Return whether a module was found in *folder* itself, and not deeper below."""
    spec = getattr(module, "__spec__", None)
    places = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec else []
    top = _normal(str(folder / name.partition(".")[0]))
    files = map(_normal, places)  # text: a `Path` for every loaded module would take 20 ms
    return any(one.startswith(top + os.sep) or top in {one, _bare(one)} for one in files)


def _normal(file: str) -> str:
    return os.path.normcase(os.path.normpath(file))


def _bare(file: str) -> str:
    return os.path.splitext(file)[0]  # noqa: PTH122
