"""Change what one agent has: swap the programs in its folder, change the jobs through its API.

Linux has `renameat2(RENAME_EXCHANGE)` since 3.15, macOS `renamex_np(RENAME_SWAP)` since 10.12; the
latter is written from its manual page and untested. Windows has no such call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.admin.client import apply_job, same_document
from epm_task.admin.deploy.errors import ProgramInUse
from epm_task.admin.deploy.program import read_installed, remove_tree
from epm_task.files import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from epm_task.admin.client import AdminClient
    from epm_task.admin.deploy.bundle import Bundle
    from epm_task.admin.deploy.deploy_root import DeployRoot


class Target(NamedTuple):
    """One agent.

    Attributes:
        root: Its folder for deployments.
        admin: Its API.
        say: Is told each step, in one line.
    """

    root: DeployRoot
    admin: AdminClient
    say: Callable[[str], None]

    def put_programs(self, bundle: Bundle) -> None:
        """Put each program in its place that is not there already.

        Raises:
            AdminError: A program is in use, or was changed.
            OSError: The operating system refuses.
        """
        for command, program in bundle.programs.items():
            place = self.root.place(command)
            present = read_installed(place)
            if present is None or present.files != program.files:
                put_in_place(self.root.stage(program), place)

    def put_jobs(self, bundle: Bundle) -> None:
        """Make the agent have each job of the bundle.

        Raises:
            AdminError: The agent refuses one, or cannot be asked.
        """
        for document in bundle.jobs.values():
            for warning in apply_job(self.admin, document).warnings:
                self.say(f"warning of the agent: {warning}")

    def remove_jobs(self, bundle: Bundle, job_ids: Iterable[str]) -> None:
        """Delete jobs of the bundle, unless somebody has changed them since.

        Raises:
            AdminError: The agent cannot be asked.
        """
        for job_id in job_ids:
            present = self.admin.find_job(job_id)
            if present is not None and same_document(present, bundle.jobs[job_id]):
                self.admin.delete_job(job_id)

    def remove_programs(self, bundle: Bundle, commands: Iterable[str]) -> None:
        """Take programs of the bundle away, unless somebody has changed them since.

        Raises:
            OSError: The operating system refuses.
        """
        for command in commands:
            place = self.root.place(command)
            present = read_installed(place)
            if present and present.tidied().files == bundle.programs[command].files:
                staged = self.root.staging / command
                remove_tree(staged)
                place.rename(staged)
                _sync_names(place, staged)


def put_in_place(staged: Path, place: Path) -> None:
    """Swap *staged* with what is at *place*, if anything; durable when this returns.

    A running program goes on with its own files on POSIX: they are moved, not overwritten.

    Raises:
        ProgramInUse: Windows refuses because of an open file; nothing has changed.
        OSError: It is not possible; what was there is there still.
    """
    try:
        if not place.exists():
            staged.rename(place)
        elif not swap_at_once(staged, place):
            swap_by_renames(staged, place)
    except PermissionError as error:
        if sys.platform == "win32":
            raise ProgramInUse(error, place) from error
        raise
    _sync_names(place, staged)


def _sync_names(*paths: Path) -> None:
    for path in paths:
        sync_folder(path.parent)


def swap_by_renames(staged: Path, place: Path) -> None:
    """Swap where the system has no such call; for an instant nothing is at *place*.

    A crash in this instant is repaired by the next apply, as the journal tells.
    """
    aside = staged.with_name(f"{staged.name}.aside")
    place.rename(aside)
    try:
        staged.rename(place)
    except OSError:
        aside.rename(place)
        raise
    aside.rename(staged)


_AT_FDCWD: Final = -100  # fcntl.h
_RENAME_EXCHANGE: Final = 2  # linux/fs.h
_RENAME_SWAP: Final = 2  # sys/stdio.h of macOS
#: The file system, or the C library, has no such call.
_UNKNOWN: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def swap_at_once(one: Path, other: Path) -> bool:
    """Swap two folders and return True; return False where that is not possible in one step.

    Raises:
        OSError: The operating system refuses.
    """
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        if not hasattr(library, "renamex_np"):
            return False
        result = library.renamex_np(first, second, _RENAME_SWAP)
    else:
        if not hasattr(library, "renameat2"):
            return False
        result = library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    if result == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
