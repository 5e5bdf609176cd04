"""Find out which programs a task file becomes: their commands, tasks, jobs and modules.

`python -m epm_task.freeze.program FILE` prints one JSON object. It is a fresh process, so that what
the file imports can be told from what the command line had imported already.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import PathFinder
from itertools import chain
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task import runtime
from epm_task.contract.program_text import program_text
from epm_task.freeze import FreezeError
from epm_task.freeze.unused import OTHER_SYSTEMS, RICH_VALUES, SETTINGS
from epm_task.job.step import command_name
from epm_task.job.task_file import PackageModule, TaskFileError, package_module, read_task_file
from epm_task.runtime.start_up import PUT_OFF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.runtime.task import Task

#: An import takes a second or two; one that takes a minute waits for something.
_IMPORT_SECONDS: Final = 60
_COMMAND: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is to be built.

    Attributes:
        file: The task file.
        command: Name of the executable and of its folder.
        tasks: The facts of the tasks in the file.
        jobs: The job documents that run them, each with the names of its tasks.
        pydantic: Whether a run can need pydantic.
        asyncio: Whether a run can need asyncio.
        modules: Files of all modules that the file and the runtime import, by name.
        include: Modules that are loaded by name, which no import statement shows.
        exclude: Modules to leave out, whoever imports them.
        data: Files and folders to take along, each with its folder inside.
    """

    file: Path
    command: str
    tasks: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    pydantic: bool
    asyncio: bool
    modules: dict[str, str]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    data: tuple[tuple[Path, str], ...] = ()

    @property
    def package(self) -> PackageModule | None:
        """The module that the task file is in its package; None when it runs as a script."""
        return package_module(self.file)

    @property
    def root(self) -> Path:
        """The folder from which the task file imports its own modules."""
        package = self.package
        return package.root if package else self.file.resolve().parent

    def included(self) -> dict[str, Path]:
        """Return the file of the top-level module of each of `include`, by its name.

        Raises:
            FreezeError: A module is neither beside the task file nor installed.
        """
        places = [str(self.root), *sys.path]
        found = {}
        for name in self.include:
            top = name.partition(".")[0]
            spec = PathFinder.find_spec(top, places)
            if spec is None or spec.origin is None:
                raise FreezeError(f"no module {name} was found to include", fix="install it")
            found[top] = Path(spec.origin)
        return found

    def own_modules(self) -> list[str]:
        """Return the modules that lie beside or below the task file, without libraries."""
        package = self.package
        folder = self.root / package.name.partition(".")[0] if package else self.root
        return [
            name
            for name, file in self.modules.items()
            if folder in Path(file).parents and "site-packages" not in Path(file).parts
        ]


class Build(NamedTuple):
    """A program that was built, but is not in its place yet.

    Attributes:
        folder: The folder that is to become `Jobs/bin/{Command}`.
        executable: Name of the file in it that the agent starts.
        contents: Where each file inside came from, by its path inside.
        missing: Modules that the program's own files import, but that are not installed.
    """

    folder: Path
    executable: str
    contents: dict[str, str]
    missing: tuple[str, ...] = ()


def read_programs(
    file: Path, names: Sequence[str] = (), *, command: str | None = None
) -> list[Program]:
    """Return the programs that *file* becomes: one, or one for each command that its tasks declare.

    *names* keeps the commands of these tasks; *command* is another name for the only one.

    Raises:
        FreezeError: The file cannot be imported, or holds no such task; a name cannot be used.
    """
    facts = _facts_of(file)
    tasks = facts["tasks"]
    known = [task["name"] for task in tasks]
    if not tasks:
        raise FreezeError(f"{file} holds no task", fix="decorate a function of it with @task")
    if unknown := [name for name in names if name not in known]:
        raise FreezeError(
            f"{file} has no task {unknown[0]!r}",
            fix=f"choose one, as FILE:TASK: {', '.join(known)}",
        )
    chosen = [task for task in tasks if not names or task["name"] in names]
    commands = list(dict.fromkeys(task["command"] for task in chosen))
    if command is not None:
        if len(commands) > 1:
            raise FreezeError(
                f"{file} becomes {len(commands)} commands, and --command names one",
                fix="choose one task, as FILE:TASK",
            )
        commands = [command]
        chosen = [{**task, "command": command} for task in chosen]
    return [_program(file, name, chosen, facts) for name in commands]


def _program(
    file: Path, command: str, tasks: list[dict[str, Any]], facts: dict[str, Any]
) -> Program:
    if not _COMMAND.fullmatch(command):
        raise FreezeError(
            f"{command!r} cannot be the name of a command",
            fix="use up to 64 letters, digits, `_` and `-`, and no extension",
        )
    own = {task["name"] for task in tasks if task["command"] == command}
    jobs = [job for job in facts["jobs"] if own & set(job["tasks"])]
    renamed = [{**job, "document": _renamed(job, own, command)} for job in jobs]
    return Program(file, command, **{**facts, "jobs": renamed})


def _renamed(job: dict[str, Any], own: set[str], command: str) -> dict[str, Any]:
    """Return the document of a job, in which the program's own tasks start *command*."""
    pairs = zip(job["tasks"], job["document"]["tasks"], strict=True)
    steps = [{**step, "command": command} if name in own else step for name, step in pairs]
    return {**job["document"], "tasks": steps}


def _facts_of(file: Path) -> dict[str, Any]:
    """Return what a fresh process finds out about the file."""
    if not file.is_file():
        fix = "give the path of a Python file with a task"
        raise FreezeError(f"{file} is not a file", fix=fix)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "epm_task.freeze.program", str(file)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_IMPORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FreezeError(
            f"{file} is still being imported after {_IMPORT_SECONDS} s",
            fix='write `if __name__ == "__main__":` above what it does',
        ) from None
    try:
        facts: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise FreezeError(
            f"{file} ends the process that imports it (exit code {done.returncode})",
            program_text(done.stderr).strip().rpartition("\n")[2],
            "`python FILE --help` must work",
        ) from None
    if problem := facts.get("error"):
        raise FreezeError(*problem)
    return facts


def main() -> None:
    """Print what the file of the command line declares and imports, or why it cannot be read."""
    path = Path(sys.argv[1])
    try:
        with redirect_stdout(sys.stderr):  # the file may print
            facts = _examine(path)
    except TaskFileError as error:
        facts = {"error": [error.what, error.why, error.fix]}
    sys.stdout.write(json.dumps(facts))


def _examine(path: Path) -> dict[str, Any]:
    declared = read_task_file(path)
    for task in declared.tasks.values():
        _load_parsers(task)
    # It reads messages whose topic has a type, whoever imports it otherwise.
    topics = [topic for task in declared.tasks.values() for topic in task.declaration.subscribes]
    typed = any(topic.payload not in {None, dict} for topic in topics)
    pydantic = typed or "pydantic" in sys.modules
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


def _facts(task: Task[..., Any]) -> dict[str, Any]:
    settings = task.handler.settings_type
    return {
        "name": task.name,
        "command": command_name(task),
        "job_id": task.declaration.job_id,
        "publishes": task.declaration.own_publications,
        "subscribes": [topic.name for topic in task.declaration.subscribes],
        "spread": task.declaration.spread_minutes is not None,
        "plugin": settings.plugin_id if settings else None,
        "required": {
            one.option: "path" if one.kind is Path else "value"
            for one in task.parameters
            if one.required
        },
    }


def _load_parsers(task: Task[..., Any]) -> None:
    """Make each parameter load what reads its values: pydantic, when the type is a rich one."""
    for parameter in task.parameters:
        with suppress(Exception):  # most types have no such value, which does not matter here
            parameter.parse("x")


def _load_runtime() -> None:
    """Import what a run loads late, so that it is among the modules."""
    for module in walk_packages(runtime.__path__, f"{runtime.__name__}."):
        if module.name not in {SETTINGS, RICH_VALUES, *OTHER_SYSTEMS}:
            import_module(module.name)
    put_off = [names for package, names in PUT_OFF.items() if package in sys.modules]
    for name in sorted(set(chain.from_iterable(put_off)) - sys.stdlib_module_names):
        import_module(name)


def _files() -> dict[str, str]:
    """Return the files of the modules that were loaded since this package was."""
    names = list(sys.modules)  # in the order in which they were loaded; `site` comes first
    later = sorted(names[names.index("epm_task") :])
    files = {name: getattr(sys.modules[name], "__file__", None) for name in later}
    return {name: file for name, file in files.items() if file and name != "__main__"}


if __name__ == "__main__":
    main()
