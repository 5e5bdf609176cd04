"""Write, move and remove what lies in the agent's folders, each through its open folder.

The folder is opened and judged anew for each act, so that no other user can lead it elsewhere, and
what is done after its rights became loose is refused.

Linux swaps two folders with `renameat2(RENAME_EXCHANGE)` since 3.15, macOS with
`renameatx_np(RENAME_SWAP)` since 10.12; the latter is written from its manual page and untested.
Windows has no such call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from epm_task.admin.errors import ProgramInUse, UnsafeRoot
from epm_task.contract.json_text import MAX_BYTES, write_json
from epm_task.errors import UnsafeConfiguration
from epm_task.files import naming, remove_durably, sync_folder, write_atomically
from epm_task.trust import entry, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_DANGER: Final = "programs that the agent runs as its own account are put in place from there"


@contextmanager
def judged() -> Iterator[None]:
    """Turn what another user could do into an error of the deployment.

    Raises:
        UnsafeRoot: Somebody else could replace a file or a folder.
    """
    try:
        yield
    except UnsafeConfiguration as error:
        raise UnsafeRoot(error.what, f"{error.why}, and {_DANGER}", error.fix) from None


@contextmanager
def at(path: Path) -> Iterator[tuple[str, int | None]]:
    """Yield the name of an entry and its open folder, as `trust.entry` does.

    Raises:
        UnsafeRoot: Somebody else could write in the folder, or replace it.
        OSError: It cannot be opened.
    """
    with judged(), entry(path) as place:
        yield place


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none when it is missing."""
    with suppress(FileNotFoundError), at(folder / "_") as (name, dir_fd):
        if dir_fd is None:
            return sorted(path.name for path in Path(name).parent.iterdir())
        readable = os.open(".", os.O_RDONLY, dir_fd=dir_fd)
        try:
            return sorted(os.listdir(readable))  # noqa: PTH208  # a descriptor
        finally:
            os.close(readable)
    return []


def make_durable(*folders: Path) -> None:
    """Make the names in folders survive a power cut."""
    for folder in folders:
        with at(folder / "_") as (name, dir_fd):
            sync_folder(Path(name).parent, dir_fd=dir_fd)


def read_document(path: Path) -> bytes:
    """Return what a document holds; of one that is too large the part that shows it.

    Raises:
        UnsafeRoot: Somebody else could replace it, or it is no regular file.
        OSError: It cannot be read.
    """
    with judged():
        return read_file(path, MAX_BYTES + 1)


def write_document(path: Path, document: object, *, mode: int = 0o600) -> None:
    """Write a document whole; it survives a power cut."""
    with naming(path), at(path) as (name, dir_fd):
        write_atomically(Path(name), write_json(document), mode=mode, dir_fd=dir_fd)


def remove_document(path: Path) -> None:
    """Delete a document for good."""
    with at(path) as (name, dir_fd):
        remove_durably(Path(name), dir_fd=dir_fd)


def remove_tree(path: Path) -> None:
    """Remove a folder with all that it holds, or what is in its place, if there is anything."""
    with suppress(FileNotFoundError), at(path) as (name, dir_fd):
        if stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
            try:
                shutil.rmtree(name, dir_fd=dir_fd)
            except RecursionError:  # before Python 3.13; such a tree is no program
                why = "its folders are nested too deeply"
                raise OSError(errno.ELOOP, why, str(path)) from None
        else:
            os.unlink(name, dir_fd=dir_fd)


def rename(old: Path, new: Path) -> None:
    """Give an entry another name, or another folder."""
    with at(old) as (one, from_fd), at(new) as (other, to_fd):
        os.rename(one, other, src_dir_fd=from_fd, dst_dir_fd=to_fd)


def put_in_place(staged: Path, place: Path) -> None:
    """Swap *staged* with what is at *place*, if anything; durable when this returns.

    A running program goes on with its own files on POSIX: they are moved, not overwritten.

    Raises:
        ProgramInUse: Windows refuses because of an open file; nothing has changed.
        OSError: It is not possible; what was there is there still.
    """
    try:
        if place.name not in names_in(place.parent):
            rename(staged, place)
        elif not swap_at_once(staged, place):
            swap_by_renames(staged, place)
    except PermissionError as error:
        if sys.platform == "win32":
            raise ProgramInUse(error, place) from error
        raise
    make_durable(place.parent, staged.parent)


def take_away(place: Path, staged: Path) -> None:
    """Move a program out of its place; durable when this returns.

    Raises:
        OSError: It is not possible; it is there still.
    """
    remove_tree(staged)
    rename(place, staged)
    make_durable(place.parent, staged.parent)


def swap_by_renames(staged: Path, place: Path) -> None:
    """Swap where the system has no such call; for an instant nothing is at *place*.

    A crash in this instant is repaired by the next apply, as the journal tells.
    """
    aside = staged.with_name(f"{staged.name}.aside")
    rename(place, aside)
    try:
        rename(staged, place)
    except OSError:
        rename(aside, place)
        raise
    rename(aside, staged)


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
