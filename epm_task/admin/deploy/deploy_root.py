"""Use the folder `epm-task` below an agent root, from which programs are deployed there."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Final

from epm_task.admin.deploy.places import judged, names_in, remove_tree
from epm_task.admin.deploy.program import copy_program, read_installed
from epm_task.admin.deploy.swap import IN_USE, put_in_place, take_away
from epm_task.admin.deploy.versions import VersionStore
from epm_task.admin.errors import ApplyUnderWay, NoVersion, WriteRefused, WrongUse
from epm_task.below import entries_below
from epm_task.files import try_lock
from epm_task.trust import check_folder, fault_of, open_to_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from epm_task.admin.deploy.bundle import Bundle
    from epm_task.admin.deploy.program import Program
    from epm_task.contract.layout import AgentRoot


#: Everybody may look at programs; job documents may hold what is not for every user.
_PUBLIC: Final = 0o755
_PRIVATE: Final = 0o700


class DeployRoot:
    """The folders and files with which programs are deployed to one agent.

    They lie beside `Jobs`, so that the agent does not look into them, and a rename works. The
    journal is absent when nothing is under way.
    """

    def __init__(self, agent: AgentRoot) -> None:
        self.agent: Final = agent
        self.folder: Final = agent.path / "epm-task"
        self.versions: Final = self.folder / "versions"
        self.staging: Final = self.folder / "staging"
        self.journal: Final = self.folder / "journal.json"

    def store(self, name: str) -> VersionStore:
        """Return the versions of one bundle."""
        return VersionStore(self.versions / name)

    def stores(self) -> list[VersionStore]:
        """Return the versions of all bundles, by name."""
        return [self.store(name) for name in names_in(self.versions)]

    def store_of(self, job_id: str | None) -> VersionStore:
        """Return the versions of the bundle to which a job belongs now; None means the only one.

        Raises:
            NoVersion: The job was never deployed from here, or it has to be named.
        """
        stores = [store for store in self.stores() if store.current is not None]
        found = [s for s in stores if job_id in {None, *s.names(s.current or 0)[1]}]
        if found and (job_id or len(found) == 1):
            return found[0]
        if not stores:
            what = f"nothing was deployed to {self.agent.path} yet"
            raise NoVersion(what, fix="deploy with `epm-task deploy apply` first")
        what = f"job {job_id} was not deployed with `epm-task deploy`"
        if job_id is None:
            what = "there are versions of several jobs"
        raise NoVersion(what, fix=f"name one of: {', '.join(store.name for store in stores)}")

    def place(self, command: str) -> Path:
        """Return the folder in which the agent looks for a program."""
        return self.agent.jobs_bin / command

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

    def put_programs(self, bundle: Bundle) -> None:
        """Put each program in its place that is not there already.

        Raises:
            AdminError: A program is in use, or was changed.
            OSError: The operating system refuses.
        """
        for command, program in bundle.programs.items():
            place = self.place(command)
            present = read_installed(place)
            if present is None or present.files != program.files:
                put_in_place(self.stage(program), place)

    def remove_programs(self, bundle: Bundle, commands: Iterable[str]) -> None:
        """Take programs of the bundle away, unless somebody has changed them since.

        Raises:
            OSError: The operating system refuses.
        """
        for command in commands:
            present = read_installed(self.place(command))
            if present and present.tidied().files == bundle.programs[command].files:
                take_away(self.place(command), self.staging / command)

    def clear_staging(self) -> None:
        """Remove everything from the staging folder; what runs on Windows goes the next time."""
        for name in names_in(self.staging):
            with suppress(*IN_USE):
                remove_tree(self.staging / name)

    def check(self) -> None:
        """Refuse a root in which other users could put something.

        Rights inside a program in `Jobs/bin` are not looked at: a plan shows them, and puts them
        right.

        Raises:
            WrongUse: The agent root has no folder `Jobs`.
            UnsafeRoot: They could.
            OSError: A folder cannot be read.
        """
        if not self.agent.jobs.is_dir():
            raise WrongUse(
                f"{self.agent.path} is not an agent root",
                "it has no folder Jobs",
                "give the agent's folder with --agent-root",
            )
        agent = self.agent
        with judged():
            for folder in (agent.path, agent.jobs, agent.jobs_bin, self.folder, self.versions):
                with suppress(FileNotFoundError):
                    check_folder(folder)
            # What they hold is put in place, so nobody else may have written there. Staging may
            # hold a program that was in place like that; it is compared before it is used.
            own = [self.folder / name for name in names_in(self.folder)]
            below = entries_below(self.versions) if self.versions in own else ()
            for path, found in chain(((path, path.lstat()) for path in own), below):
                if fault := fault_of(found, path):
                    raise fault

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folders, and keep every other apply away.

        Raises:
            WrongUse: The agent root has no folder `Jobs`.
            UnsafeRoot: Other users can write there.
            ApplyUnderWay: Another process holds it.
            WriteRefused: A folder cannot be made.
        """
        try:
            self.check()
            with judged():
                check_folder(self.agent.jobs_bin, make=_PUBLIC)
                for folder in (self.folder, self.versions, self.staging):
                    check_folder(folder, make=_PRIVATE)
                descriptor = open_to_write(self.folder / "deploy.lock")
        except OSError as error:
            raise WriteRefused(error, self.folder) from error
        try:
            if not try_lock(descriptor):
                raise ApplyUnderWay(self.agent.path, _pid(descriptor))
            os.truncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        finally:
            os.close(descriptor)


def _pid(descriptor: int) -> str:
    try:
        return os.read(descriptor, 20).decode("ascii", "replace").strip()
    except OSError:  # Windows refuses to read a locked range
        return ""
