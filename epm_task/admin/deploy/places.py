"""Write, move and remove what lies in the agent's folders, each through its open folder.

The folder is opened and judged anew for each act, so that no other user can lead it elsewhere, and
what is done after its rights became loose is refused.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from epm_task.admin.errors import UnsafeRoot
from epm_task.contract.json_text import MAX_BYTES, write_json
from epm_task.errors import UnsafeConfiguration
from epm_task.files import naming, patiently, remove_durably, sync_folder, write_atomically
from epm_task.trust import entry, make_folder, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_DANGER: Final = "programs that the agent runs as its own account are put in place from there"


#: Whatever the umask is: the agent starts programs as its own account, and as users.
_PUBLIC_MODE: Final = 0o755


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
                patiently(shutil.rmtree, name, dir_fd=dir_fd)
            except RecursionError:  # before Python 3.13; such a tree is no program
                why = "its folders are nested too deeply"
                raise OSError(errno.ELOOP, why, str(path)) from None
        else:
            patiently(os.unlink, name, dir_fd=dir_fd)


def rename(old: Path, new: Path, *, at_once: bool = False) -> None:
    """Give an entry another name, or another folder; wait for who has it open, unless *at_once*."""
    with at(old) as (one, from_fd), at(new) as (other, to_fd):
        if at_once:
            os.rename(one, other, src_dir_fd=from_fd, dst_dir_fd=to_fd)
        else:
            patiently(os.rename, one, other, src_dir_fd=from_fd, dst_dir_fd=to_fd)


def make_public_folder(folder: Path) -> None:
    """Make a folder, unless it is there, that everybody can read and only its owner can write."""
    with at(folder) as (name, dir_fd), suppress(FileExistsError):
        make_folder(Path(name), _PUBLIC_MODE, dir_fd=dir_fd)
