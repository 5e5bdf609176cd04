"""A lint target is one document to inspect, from a file or from the code that declares it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from epm_task.cli.failure import Failure
from epm_task.cli.job_target import declared_in
from epm_task.cli.read_job import read_job
from epm_task.job.document import JobDocument
from epm_task.job.json_source import BadSource
from epm_task.job.lint_settings import BadLintSettings, LintSettings, find_settings
from epm_task.job.linter import unreadable
from epm_task.job.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from epm_task.job.finding import Finding
    from epm_task.job.job import Job


class LintTarget(NamedTuple):
    """One document to inspect.

    Attributes:
        name: The file, as it was given.
        settings: What the project of the file says.
        subject: The document; None when the file holds none.
        broken: Why it holds none.
        line: Where to point when the document comes from code.
    """

    name: str
    settings: LintSettings
    subject: Subject | None
    broken: Finding | None = None
    line: int = 1


def lint_targets(paths: Iterable[Path]) -> list[LintTarget]:
    """Return the documents in files, in the folders `Jobs/`, and in the code of Python files.

    Raises:
        Failure: A path is absent or holds no document, or code cannot be imported.
    """
    files = [file for path in paths for file in _files(path)]
    code = _Code()
    for file in files:
        if file.suffix == ".py":
            code.add(file)
    return [target for file in files for target in _targets(file, code)]


class _Code:
    """The jobs in code, by id; each file is imported once."""

    def __init__(self) -> None:
        self._by_file: dict[Path, list[Job]] = {}
        self.jobs: dict[str, Job] = {}

    def add(self, file: Path) -> list[Job]:
        """Import the file unless that is done, and return its jobs."""
        file = file.resolve()
        if file not in self._by_file:
            self._by_file[file] = declared_in(file).all_jobs()
            for job in self._by_file[file]:
                self.jobs.setdefault(job.id, job)
        return self._by_file[file]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.json"))
        if not found:
            raise Failure(f"{path} holds no job documents", "give a folder with *.json files")
        return found
    if not path.exists():
        raise Failure(f"there is no file {path}", "give job documents, folders, or Python files")
    return [path]


def _targets(file: Path, code: _Code) -> Iterator[LintTarget]:
    try:
        settings = find_settings(file)
    except BadLintSettings as error:
        raise Failure(str(error), "correct the file") from error
    for tasks in settings.tasks:
        if not tasks.is_file():
            raise Failure(f"there is no file {tasks}", "correct tasks in [tool.epm-task]")
        code.add(tasks)
    if file.suffix == ".py":
        jobs = code.add(file)
        if not jobs:
            raise Failure(f"{file} holds no task", "decorate a function of it with @task")
        for job in jobs:
            line = job.tasks[0].handler.function.__code__.co_firstlineno
            yield LintTarget(str(file), settings, Subject(JobDocument(job.document())), line=line)
    else:
        yield _from_file(file, settings, code)


def _from_file(file: Path, settings: LintSettings, code: _Code) -> LintTarget:
    try:
        document = read_job(file)
    except BadSource as error:
        return LintTarget(str(file), settings, None, unreadable(error, name=str(file)))
    job = code.jobs.get(str(document.raw.get("id")))
    neighbours = frozenset(other.stem for other in file.absolute().parent.glob("*.json"))
    subject = Subject(document, file=file.absolute(), job=job, neighbours=neighbours)
    return LintTarget(str(file), settings, subject)
