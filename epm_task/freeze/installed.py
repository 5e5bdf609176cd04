"""Read an installed program, and check that its files are as they were built.

Its executable lies in a folder, mostly with a manifest and the job document that starts it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from epm_task.admin.deploy.bundle import commands_of
from epm_task.below import entries_below
from epm_task.contract.json_text import BadJson, read_object
from epm_task.contract.topic import KEEPER_LOGGER, allowed_publications
from epm_task.errors import UnsafeConfiguration
from epm_task.files import documents
from epm_task.freeze import FreezeError
from epm_task.runtime.manifest import NAME as MANIFEST
from epm_task.runtime.manifest import ManifestError, differences, read_manifest
from epm_task.trust import fault_of, is_ours, open_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Installed(NamedTuple):
    """One program.

    Attributes:
        folder: The folder that holds it alone; None when it lies among other things.
        executable: The file that the agent starts.
        manifest: What its build says of it; None for a program that is not one of ours.
        job: The job document that lies beside it in the layout; None when there is none.
    """

    folder: Path | None
    executable: Path
    manifest: dict[str, Any] | None
    job: dict[str, Any] | None

    @property
    def command(self) -> str:
        """The name by which a job names it."""
        suffix = self.executable.suffix
        return self.executable.stem if suffix.lower() == ".exe" else self.executable.name

    def task(self, arguments: list[str]) -> dict[str, Any]:
        """Return what the manifest says of the task that *arguments* select; {} without one.

        Raises:
            FreezeError: The manifest has no such task.
        """
        tasks: list[dict[str, Any]] = (self.manifest or {}).get("tasks", [])
        wanted = _option(arguments, "--task")
        if not tasks or wanted is None:
            return tasks[0] if tasks else {}
        for task in tasks:
            if task["name"] == wanted:
                return task
        names = ", ".join(str(task["name"]) for task in tasks)
        raise FreezeError(f"{self.executable} has no task {wanted!r}", fix=f"it has {names}")

    def topics(self, task: dict[str, Any]) -> list[str]:
        """Return the topics on which the job lets it publish."""
        allowed = allowed_publications(self.job or {})
        return allowed or [KEEPER_LOGGER, *task.get("publishes", ())]


def read_installed(path: Path) -> Installed:
    """Return the program at *path*: its folder in the layout, or the executable itself.

    Raises:
        FreezeError: Nothing is there, or no program.
    """
    path = path.absolute()
    if not path.exists():
        fix = "give an executable, or its folder Jobs/bin/NAME"
        raise FreezeError(f"{path} does not exist", fix=fix)
    alone = path.is_dir() or path.stem == path.parent.name or (path.parent / MANIFEST).is_file()
    folder = path if path.is_dir() else path.parent if alone else None
    manifest = None
    if folder is not None and (folder / MANIFEST).is_file():
        try:
            manifest = read_manifest(folder)
        except ManifestError as error:
            raise FreezeError(error.what, error.why, error.fix) from None
    executable = path
    if folder is not None and path.is_dir():
        names = [(manifest or {}).get("executable"), folder.name, f"{folder.name}.exe"]
        found = [folder / str(name) for name in names if name and (folder / str(name)).is_file()]
        if not found:
            raise FreezeError(f"{folder} holds no program {folder.name}", fix="give the executable")
        executable = found[0]
    program = Installed(folder, executable, manifest, None)
    return program._replace(job=_job_beside(program))


def _job_beside(program: Installed) -> dict[str, Any] | None:
    """Return the document in `Jobs/` with a task that starts the program in `Jobs/bin/`."""
    if program.folder is None or program.folder.parent.name != "bin":
        return None
    for path in documents(program.folder.parents[1]):
        with suppress(BadJson):  # not a job document
            document = read_object(path)
            if program.command in commands_of(document):
                return document
    return None


def _option(arguments: list[str], option: str) -> str | None:
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == option:
            return value if equals else next(iter(arguments[position + 1 :]), None)
    return None


State = Literal["ok", "warning", "failed", "skipped"]


class Check(NamedTuple):
    """One line of the answer of `verify` or `verify-install`.

    Attributes:
        name: What was looked at, in one or two words.
        state: How it is.
        detail: What was seen; for a failure, why that matters and what to do.
    """

    name: str
    state: State
    detail: str


def judge(name: str, good: object, seen: str, problem: str) -> Check:
    """Return a check that is ok when *good* is true, with what was seen or with the problem."""
    return Check(name, "ok", seen) if good else Check(name, "failed", problem)


def passed(checks: Sequence[Check]) -> bool:
    """Return whether no check has failed."""
    return all(check.state != "failed" for check in checks)


#: How many problems of one kind are told.
_SHOWN: Final = 3


def check_install(program: Installed) -> list[Check]:
    """Return what was seen of the files of an installed program.

    Raises:
        FreezeError: It has no manifest.
    """
    folder = program.folder
    if folder is None or program.manifest is None:
        raise FreezeError(
            f"{program.executable} has no manifest beside it",
            fix="build it with epm-task freeze, or copy the whole folder",
        )
    changed = differences(folder, program.manifest)
    foreign, writable = _rights(folder)
    expected = len(program.manifest["files"])
    return [
        judge("files", not changed, f"{expected} as built", _some(changed)),
        judge("owner", not foreign, "root or this user", _some(foreign)),
        judge("modes", not writable, "nobody else may write", _some(writable)),
        _above(program.executable),
        judge(
            "executable",
            os.access(program.executable, os.X_OK) and not program.executable.is_symlink(),
            f"{program.executable.name} may be started",
            f"it must be a file, not a link, with mode 0755: chmod 0755 {program.executable}",
        ),
    ]


def _rights(folder: Path) -> tuple[list[str], list[str]]:
    """Return what belongs to somebody else, and what others may write, with what to do."""
    foreign: list[str] = []
    writable: list[str] = []
    for path, found in entries_below(folder):
        if fault := fault_of(found, path):
            (writable if is_ours(found, path) else foreign).append(str(fault))
    return foreign, writable


def _above(executable: Path) -> Check:
    """Look at the folders above too: who may write there can put another program in place."""
    try:
        open_file(executable).close()
    except (UnsafeConfiguration, OSError) as error:
        return Check("folders above", "failed", str(error))
    return Check("folders above", "ok", "root's or this user's, and nobody else may write")


def _some(problems: list[str]) -> str:
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more
