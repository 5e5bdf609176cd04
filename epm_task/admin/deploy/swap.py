"""Swap a program with the one in its place, also while it runs.

Linux swaps two folders with `renameat2(RENAME_EXCHANGE)` since 3.15, macOS with
`renameatx_np(RENAME_SWAP)` since 10.12; the latter is written from its manual page and untested.

Windows has no such call, and does not rename a folder in which a file is open. But an executable
that runs, and a library that is loaded, can be renamed as a file: so there the files are swapped
one by one, and the folders stay. The executable goes first and comes last, so that no run can begin
with files of both programs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from epm_task.admin.deploy.places import (
    at,
    make_durable,
    make_public_folder,
    names_in,
    remove_tree,
    rename,
)
from epm_task.admin.deploy.program import executable_names
from epm_task.admin.errors import ProgramInUse
from epm_task.below import entries_below

if TYPE_CHECKING:
    from pathlib import Path

#: What a system says of a file that runs, or that another program has open.
IN_USE: Final[tuple[type[OSError], ...]] = (PermissionError,) if sys.platform == "win32" else ()


def put_in_place(staged: Path, place: Path) -> None:
    """Put *staged* where *place* is, and take away what is there, if anything.

    It is durable when this returns. A running program goes on with its own files: they are moved,
    not overwritten.

    Raises:
        ProgramInUse: A file cannot be moved, because another program has it open on Windows.
        OSError: It is not possible; what was there is there still.
    """
    if place.name not in names_in(place.parent):
        rename(staged, place)
    elif not swap_at_once(staged, place):
        try:
            swap_by_renames(staged, place)
        except IN_USE:
            swap_by_files(staged, place)
    make_durable(place.parent, staged.parent)


def take_away(place: Path, staged: Path) -> None:
    """Move a program out of its place; durable when this returns.

    On Windows a folder that is in use stays behind, without files.

    Raises:
        ProgramInUse: A file cannot be moved, because another program has it open on Windows.
        OSError: It is not possible; it is there still.
    """
    remove_tree(staged)
    try:
        rename(place, staged, at_once=True)
    except IN_USE:
        _move_files(place, (place, _aside(staged)))
    make_durable(place.parent, staged.parent)


def swap_by_renames(staged: Path, place: Path) -> None:
    """Swap where the system has no such call; for an instant nothing is at *place*.

    A crash in this instant is repaired by the next apply, as the journal tells.
    """
    aside = staged.with_name(f"{staged.name}.aside")
    rename(place, aside, at_once=True)  # the files of one that runs need not be waited for
    try:
        rename(staged, place)
    except OSError:
        rename(aside, place)
        raise
    rename(aside, staged)


def swap_by_files(staged: Path, place: Path) -> None:
    """Swap file by file; what was there is left aside.

    A crash on the way is repaired by the next apply, as the journal tells.

    Raises:
        ProgramInUse: A file cannot be moved, because another program has it open.
        OSError: It is not possible; what was there is there still.
    """
    _move_files(place, (place, _aside(staged)), (staged, place))
    remove_tree(staged)


def _aside(staged: Path) -> Path:
    """Return a new folder beside: files that run can be deleted only when they have ended."""
    return staged.with_name(f"{staged.name}.{os.urandom(8).hex()}")


def _move_files(place: Path, *steps: tuple[Path, Path]) -> None:
    """Move all files from the first to the second of each step, or none at all."""
    done: list[tuple[Path, Path]] = []
    kept: list[Path] = []
    try:
        for source, target in steps:
            files, folders = _found(source)
            # The executable is the first that goes, and the last that comes.
            files.sort(key=lambda name: (_starts(place, name) == (target == place), name))
            kept += [source / folder for folder in folders]
            for folder in folders:
                make_public_folder(target / folder)
            for name in files:
                rename(source / name, target / name)
                done.append((source / name, target / name))
            for folder in reversed(folders):
                _remove_empty(source / folder)
    except BaseException as error:
        for left in kept:
            make_public_folder(left)
        for old, new in reversed(done):
            rename(new, old)
        if isinstance(error, IN_USE):
            raise ProgramInUse(error, place) from error
        raise


def _starts(place: Path, name: str) -> bool:
    return name in executable_names(place.name)


def _found(program: Path) -> tuple[list[str], list[str]]:
    """Return the names of files and of folders, each folder before what it holds."""
    files: list[str] = []
    folders: list[str] = []
    for path, facts in entries_below(program):
        name = path.relative_to(program).as_posix()
        (folders if stat.S_ISDIR(facts.st_mode) else files).append(name)
    return files, folders


def _remove_empty(folder: Path) -> None:
    with suppress(OSError), at(folder) as (name, dir_fd):  # it may be the one that a run is in
        os.rmdir(name, dir_fd=dir_fd)


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
    call, flag = (
        ("renameatx_np", _RENAME_SWAP)
        if sys.platform == "darwin"
        else ("renameat2", _RENAME_EXCHANGE)
    )
    if not hasattr(library, call):
        return False
    with at(one) as (name, from_fd), at(other) as (other_name, to_fd):
        names = os.fsencode(name), os.fsencode(other_name)
        if getattr(library, call)(from_fd, names[0], to_fd, names[1], flag) == 0:
            return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
