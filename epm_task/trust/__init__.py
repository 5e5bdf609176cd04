"""Open files and folders that nobody but an administrator and this user can change; all ask here.

Every folder on the way down from the root is judged, and every link: it belongs to root, SYSTEM,
Administrators or this user, and nobody else may write in it. After that no other user can give the
path another meaning, and what is read comes from the judged descriptor. `posix` knows owners and
modes, `windows` security descriptors.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Final

from epm_task.errors import UnsafeConfiguration
from epm_task.trust.kind import AT_ONCE, NO_WAITING, check_kind

if sys.platform == "win32":
    from epm_task.trust.windows import (
        entry,
        fault_of,
        is_ours,
        is_privileged,
        judge,
        make_folder,
        open_private,
        owner_of,
        path_of,
        walk,
    )
else:
    from epm_task.trust.posix import (
        entry,
        fault_of,
        is_ours,
        is_privileged,
        judge,
        make_folder,
        open_private,
        owner_of,
        path_of,
        walk,
    )

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path

#: That of Windows, in UTF-16 units; other systems take less, and say so themselves.
_LONGEST_NAME: Final = 32_767

__all__ = [
    "AT_ONCE",
    "check_folder",
    "check_kind",
    "entry",
    "fault_of",
    "is_ours",
    "is_privileged",
    "make_folder",
    "open_file",
    "open_judged",
    "open_regular",
    "open_to_write",
    "owner_of",
    "path_of",
    "read_file",
]


def open_file(path: Path, *, secret: bool = False) -> BufferedReader:
    """Return a regular file, opened for reading, that nobody else could replace, or read a secret.

    Raises:
        UnsafeConfiguration: Somebody could, or it is not a regular file.
        OSError: It cannot be opened.
    """
    file, fault = open_judged(path, secret=secret)
    if fault:
        file.close()
        raise fault
    return file


def open_judged(
    path: Path, *, secret: bool = False
) -> tuple[BufferedReader, UnsafeConfiguration | None]:
    """Return a regular file, opened for reading, and why it is not trusted, for who decides later.

    Raises:
        UnsafeConfiguration: It is not a regular file.
        OSError: It cannot be opened.
    """
    _check_name(path)
    way = walk(path, secret=secret)
    return os.fdopen(way.descriptor, "rb"), way.fault


def read_file(path: Path, limit: int, *, secret: bool = False) -> bytes:
    """Return what a file holds, at most *limit* bytes; raises what `open_file` raises."""
    with open_file(path, secret=secret) as file:
        return file.read(limit)


def check_folder(path: Path, *, make: int | None = None) -> None:
    """Refuse a folder in which somebody else could write, or which somebody could replace.

    With the mode *make* each missing folder of the path is made; the umask counts.

    Raises:
        UnsafeConfiguration: Somebody could.
        OSError: It is missing, is not a folder, or cannot be made.
    """
    way = walk(path, folder=True, make=make)
    os.close(way.descriptor)
    if way.fault:
        raise way.fault


def open_to_write(path: Path) -> int:
    """Return the descriptor of a private file for reading and writing; a missing one is made.

    In its folder only an administrator and this user can write.

    Raises:
        UnsafeConfiguration: Somebody else could write there, or it is a link or no regular file.
        OSError: It cannot be opened.
    """
    descriptor = open_private(path)
    try:
        _check_ours(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_ours(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    check_kind(found, path)
    if fault := judge(descriptor, path):
        raise fault
    if found.st_nlink > 1:  # another user may have linked a file of root's here
        raise UnsafeConfiguration(f"{path} has another name", "it is a hard link", "remove it")


def open_regular(path: Path) -> BufferedReader:
    """Return a regular file, opened for reading, whoever can change it; a pipe does not block.

    Raises:
        UnsafeConfiguration: It is not a regular file.
        OSError: It cannot be opened.
    """
    _check_name(path)
    check_kind(path.stat(), path)
    descriptor = os.open(path, os.O_RDONLY | NO_WAITING)
    try:
        check_kind(os.fstat(descriptor), path)
    except UnsafeConfiguration:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check_name(path: Path) -> None:
    # For these Python raises a ValueError, which no caller expects of a file.
    if "\0" in str(path):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
    if len(str(path)) > _LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
