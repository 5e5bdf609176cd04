"""A site is one agent as a deployment sees it: its folder together with its API.

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
from epm_task.admin.deploy.plan import present_job
from epm_task.admin.deploy.program import read_installed, remove_tree
from epm_task.admin.errors import AdminError
from epm_task.exit_code import ExitCode
from epm_task.files import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from epm_task.admin.client import AdminClient
    from epm_task.admin.deploy.bundle import Bundle
    from epm_task.admin.deploy.deploy_root import Workshop


class Site(NamedTuple):
    """One agent.

    Attributes:
        workshop: Its folder.
        admin: Its API.
        say: Is told each step, in one line.
    """

    workshop: Workshop
    admin: AdminClient
    say: Callable[[str], None]

    def put_programs(self, bundle: Bundle) -> None:
        """Put each program in its place that is not there already.

        Raises:
            AdminError: A program is in use, or was changed.
            OSError: The operating system refuses.
        """
        for command, program in bundle.programs.items():
            place = self.workshop.place(command)
            present = read_installed(place)
            if present is None or present.files != program.files:
                put_in_place(self.workshop.stage(program), place)

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
            present = present_job(self.admin, job_id)
            if present is not None and same_document(present, bundle.jobs[job_id]):
                self.admin.delete_job(job_id)

    def remove_programs(self, bundle: Bundle, commands: Iterable[str]) -> None:
        """Take programs of the bundle away, unless somebody has changed them since.

        Raises:
            OSError: The operating system refuses.
        """
        for command in commands:
            place = self.workshop.place(command)
            present = read_installed(place)
            if present and present.tidied().files == bundle.programs[command].files:
                staged = self.workshop.staging / command
                remove_tree(staged)
                take_away(place, staged)


class ProgramInUse(AdminError):
    """Windows does not move a folder in which a file is open; written from its manual, untested."""

    exit_code = ExitCode.TEMPFAIL

    def __init__(self, error: OSError, place: Path) -> None:
        """Take the refusal and the program's place."""
        super().__init__(
            f"{place} cannot be replaced ({error.strerror}): a run of it is under way, or another "
            "program, such as a virus scanner, has a file in it open; wait for the end of the run, "
            "or stop the agent's service, then run it again"
        )


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
        elif not exchange(staged, place):
            rename_twice(staged, place)
    except PermissionError as error:
        if sys.platform == "win32":
            raise ProgramInUse(error, place) from error
        raise
    sync_folder(place.parent)
    sync_folder(staged.parent)


def take_away(place: Path, staged: Path) -> None:
    """Move a program out of its place.

    Raises:
        OSError: It is not possible; it is there still.
    """
    place.rename(staged)
    sync_folder(place.parent)
    sync_folder(staged.parent)


def rename_twice(staged: Path, place: Path) -> None:
    """Swap where no exchange exists; for an instant nothing is at *place*.

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


def exchange(one: Path, other: Path) -> bool:
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
