"""A workshop is the folder `epm-task` of an agent root, with which programs are deployed there."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.admin.deploy.errors import ApplyUnderWay, NoVersion, UnsafeRoot, WriteRefused
from epm_task.admin.deploy.program import copy_program, is_loose, read_installed, remove_tree
from epm_task.admin.deploy.versions import Shelf
from epm_task.admin.errors import WrongUse
from epm_task.files import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from epm_task.admin.deploy.program import Program
    from epm_task.admin.deploy.versions import Version
    from epm_task.contract.layout import AgentRoot


#: Beside `Jobs`, so that the agent does not look into it, and a rename works.
FOLDER: Final = "epm-task"
#: Job documents may hold what is not for every user.
_MODE: Final = 0o700
_OTHERS_WRITE: Final = 0o002


class Workshop(NamedTuple):
    """The folders and files with which programs are deployed to one agent.

    Attributes:
        root: The agent's folder.
    """

    root: AgentRoot

    @property
    def folder(self) -> Path:
        """All of it."""
        return self.root.path / FOLDER

    @property
    def versions(self) -> Path:
        """The versions, one folder for each bundle."""
        return self.folder / "versions"

    @property
    def staging(self) -> Path:
        """Programs on their way in, and out."""
        return self.folder / "staging"

    @property
    def journal(self) -> Path:
        """What is under way; absent when nothing is."""
        return self.folder / "journal.json"

    def shelf(self, name: str) -> Shelf:
        """Return the versions of one bundle."""
        return Shelf(self.versions / name)

    def shelves(self) -> list[Shelf]:
        """Return the versions of all bundles, by name."""
        folders = sorted(self.versions.iterdir()) if self.versions.is_dir() else []
        return [Shelf(folder) for folder in folders]

    def place(self, command: str) -> Path:
        """Where the agent looks for a program."""
        return self.root.jobs_bin / command

    def stage(self, program: Program) -> Path:
        """Copy a program into the staging folder, unless exactly this one is there, and return it.

        Raises:
            BadBundle: The program is not what it was when it was read.
            OSError: It cannot be written.
        """
        staged = self.staging / program.command
        present = read_installed(staged)
        if present is None or present.files != program.files:
            remove_tree(staged)
            copy_program(program, staged)
        return staged

    def clear_staging(self) -> None:
        """Remove everything from the staging folder."""
        for path in list(self.staging.iterdir()):
            remove_tree(path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folders, and keep every other apply away.

        Raises:
            WrongUse: The agent root has no folder `Jobs`.
            UnsafeRoot: Other users can write there.
            ApplyUnderWay: Another process holds it.
            WriteRefused: A folder cannot be made.
        """
        self._check()
        try:
            self._prepare()
            descriptor = os.open(self.folder / "deploy.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise WriteRefused(error, self.folder) from error
        try:
            if not try_lock(descriptor):
                raise ApplyUnderWay(self.root.path, _pid(descriptor))
            os.truncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        finally:
            os.close(descriptor)

    def _check(self) -> None:
        if not self.root.jobs.is_dir():
            raise WrongUse(
                f"{self.root.path} is no agent root: it has no folder Jobs; give --agent-root"
            )
        if os.name != "posix":
            return
        for folder in (self.root.path, self.root.jobs, self.root.jobs_bin):
            if folder.exists() and folder.stat().st_mode & _OTHERS_WRITE:
                raise UnsafeRoot(
                    f"every user can write {folder}, and so replace what the agent runs as its own "
                    f"account; chmod o-w {folder}"
                )
        # What it holds is put in place, so nobody else may have written there.
        for folder in (self.folder, self.versions, self.staging):
            if folder.exists() and is_loose(folder.lstat()):
                raise UnsafeRoot(
                    f"others can write {folder}, from which programs are put in place; look at "
                    f"what it holds, then chown it to this user and chmod 700 {folder}"
                )

    def _prepare(self) -> None:
        self.root.jobs_bin.mkdir(exist_ok=True)
        for folder in (self.folder, self.versions, self.staging):
            folder.mkdir(mode=_MODE, exist_ok=True)


def _pid(descriptor: int) -> str:
    try:
        return os.read(descriptor, 20).decode("ascii", "replace").strip()
    except OSError:  # Windows refuses to read a locked range
        return ""


def shelf_of(workshop: Workshop, job_id: str | None) -> Shelf:
    """Return the versions of the bundle to which a job belongs now.

    Args:
        workshop: Where versions are kept.
        job_id: The job; None when there is one bundle only.

    Raises:
        NoVersion: The job was never deployed from here, or it has to be named.
    """
    shelves = [shelf for shelf in workshop.shelves() if shelf.current is not None]
    if job_id is None and len(shelves) == 1:
        return shelves[0]
    for shelf in shelves:
        if job_id is not None and job_id in shelf.names(shelf.current or 0)[1]:
            return shelf
    known = ", ".join(shelf.name for shelf in shelves)
    if not known:
        raise NoVersion(f"nothing was deployed to {workshop.root.path} with `epm-task deploy` yet")
    if job_id is None:
        raise NoVersion(f"there are versions of several jobs; name one of: {known}")
    raise NoVersion(f"job {job_id} was not deployed with `epm-task deploy`; there are: {known}")


def earlier_version(shelf: Shelf, number: int | None) -> Version:
    """Return the version of this number; without one, that before the current one.

    Raises:
        NoVersion: There is none.
    """
    wanted = shelf.previous if number is None else number
    if wanted is None:
        raise NoVersion(
            f"{shelf.name} has no version before number {shelf.current}, so there is nothing to go "
            "back to; `epm-task deploy status` lists the versions"
        )
    return shelf.get(wanted)
