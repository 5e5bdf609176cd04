"""A swap puts a staged program in its place; what was there is staged afterwards."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from epm_task.admin.deploy.exchange import exchange
from epm_task.admin.errors import AdminError
from epm_task.exit_code import ExitCode
from epm_task.files.atomic_file import sync_folder

if TYPE_CHECKING:
    from pathlib import Path


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
