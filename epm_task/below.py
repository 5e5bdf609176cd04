"""Read what lies below a folder that others may change, such as that of a program to be installed.

Whose the files are does not matter here: who reads them compares them with digests, also after a
copy. No link below the folder is followed, also when it takes the place of a file or a folder
meanwhile, and only regular files are opened.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from epm_task.errors import UnsafeConfiguration
from epm_task.trust import AT_ONCE, check_kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

#: Programs have about 20; each folder is opened on the way down to each file.
_MAX_DEPTH: Final = 100


def entries_below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield *folder* and all below it, each folder before what it holds, with its own facts.

    Raises:
        OSError: A folder cannot be read, or is none any more.
    """
    found = folder.lstat()
    yield folder, found
    waiting = [folder] if stat.S_ISDIR(found.st_mode) else []
    while waiting:
        above = waiting.pop()
        with _opened_below(folder, above) as opened:
            names = sorted(os.listdir(above if opened is None else opened))  # noqa: PTH208
            facts = [_facts(above / name, opened) for name in names]
        for name, found in zip(names, facts, strict=True):
            yield above / name, found
        folders = [n for n, f in zip(names, facts, strict=True) if stat.S_ISDIR(f.st_mode)]
        waiting += [above / name for name in reversed(folders)]


def link_below(folder: Path, name: str) -> str:
    """Return where a link below *folder* leads, as its text; no other link is followed.

    Raises:
        OSError: It is no link, or another link is on the way.
    """
    path = folder / name
    with _opened_below(folder, path.parent) as opened:
        return os.readlink(path if opened is None else path.name, dir_fd=opened)


def open_below(folder: Path, name: str) -> BufferedReader:
    """Return a regular file below *folder*, opened for reading; no link below it is followed.

    Raises:
        UnsafeConfiguration: It is not a regular file.
        OSError: It cannot be opened, or a link is on the way.
    """
    path = folder / name
    with _opened_below(folder, path.parent) as opened:
        check_kind(_facts(path, opened), path)
        how = os.O_RDONLY | AT_ONCE
        file = os.fdopen(os.open(path if opened is None else path.name, how, dir_fd=opened), "rb")
    try:
        check_kind(os.fstat(file.fileno()), path)
    except UnsafeConfiguration:
        file.close()
        raise
    return file


@contextmanager
def _opened_below(folder: Path, below: Path) -> Iterator[int | None]:
    """Yield the descriptor of *folder*, or of one below it; on Windows None."""
    if sys.platform == "win32":
        yield None
        return
    names = below.relative_to(folder).parts
    if len(names) > _MAX_DEPTH:
        raise OSError(errno.ELOOP, "its folders are nested too deeply", str(below))
    how = os.O_RDONLY | os.O_DIRECTORY
    descriptor = os.open(folder, how)
    try:
        for name in names:
            opened = os.open(name, how | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = opened
        yield descriptor
    except OSError as error:
        if isinstance(error.filename, str):
            error.filename = str(below / error.filename)
        raise
    finally:
        os.close(descriptor)


def _facts(path: Path, opened: int | None) -> os.stat_result:
    """Return the facts of an entry of an opened folder; on Windows those of *path*."""
    name = path if opened is None else path.name
    return os.stat(name, dir_fd=opened, follow_symlinks=False)


def leads_inside(link: Path, folder: Path) -> bool:
    """Return whether a link leads to something in *folder*, after all links on its way."""
    end, base = os.path.realpath(link), os.path.realpath(folder)
    return Path(end).is_relative_to(base)
