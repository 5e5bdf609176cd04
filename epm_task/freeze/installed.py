"""An installed program is an executable in its folder, with what is known of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.freeze.freeze_error import FreezeError
from epm_task.runtime.manifest import NAME as MANIFEST
from epm_task.runtime.manifest import ManifestError, read_manifest

if TYPE_CHECKING:
    from pathlib import Path


class Installed(NamedTuple):
    """One program.

    Attributes:
        folder: The folder that holds it alone; None when it stands among other things.
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
            FreezeError: There is no such task.
        """
        tasks: list[dict[str, Any]] = (self.manifest or {}).get("tasks", [])
        wanted = _option(arguments, "--task")
        if not tasks or wanted is None:
            return tasks[0] if tasks else {}
        for task in tasks:
            if task["name"] == wanted:
                return task
        names = ", ".join(str(task["name"]) for task in tasks)
        raise FreezeError(f"{self.executable} has no task {wanted!r}", f"it has {names}")

    def topics(self, task: dict[str, Any]) -> list[str]:
        """Return the topics on which the job lets it publish."""
        allowed = ((self.job or {}).get("mqttTopics") or {}).get("allowedPublications")
        return list(allowed or [KEEPER_LOGGER, *task.get("publishes", ())])


def read_installed(path: Path) -> Installed:
    """Return the program at *path*: its folder in the layout, or the executable itself.

    Raises:
        FreezeError: There is no program.
    """
    path = path.absolute()
    if not path.exists():
        raise FreezeError(f"there is no {path}", "give an executable, or its folder Jobs/bin/NAME")
    alone = path.is_dir() or path.stem == path.parent.name or (path.parent / MANIFEST).is_file()
    folder = path if path.is_dir() else path.parent if alone else None
    manifest = None
    if folder is not None and (folder / MANIFEST).is_file():
        try:
            manifest = read_manifest(folder)
        except ManifestError as error:
            raise FreezeError(str(error), "build the program again") from None
    executable = path
    if folder is not None and path.is_dir():
        names = [(manifest or {}).get("executable"), folder.name, f"{folder.name}.exe"]
        found = [folder / str(name) for name in names if name and (folder / str(name)).is_file()]
        if not found:
            raise FreezeError(f"{folder} holds no program {folder.name}", "give the executable")
        executable = found[0]
    program = Installed(folder, executable, manifest, None)
    return program._replace(job=_job_beside(program))


def _job_beside(program: Installed) -> dict[str, Any] | None:
    """Return the document in `Jobs/` whose first task starts the program in `Jobs/bin/`."""
    if program.folder is None or program.folder.parent.name != "bin":
        return None
    for path in sorted(program.folder.parents[1].glob("*.json")):
        try:
            document = json.loads(path.read_bytes())
            commands = [step.get("command") for step in document["tasks"]]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue  # not a job document, or none that concerns this program
        if program.command in commands:
            found: dict[str, Any] = document
            return found
    return None


def _option(arguments: list[str], option: str) -> str | None:
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == option:
            return value if equals else next(iter(arguments[position + 1 :]), None)
    return None
