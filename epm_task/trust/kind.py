"""Tell a regular file from what else a path can lead to, and what the ways of all systems share."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.errors import UnsafeConfiguration

if TYPE_CHECKING:
    from pathlib import Path

#: A pipe that is swapped in must not keep the caller waiting; Windows has none among its files.
NO_WAITING: Final = (
    getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
)
#: Nor is a link followed that is swapped in.
AT_ONCE: Final = NO_WAITING | getattr(os, "O_NOFOLLOW", 0)
#: As Linux does, path_resolution(7).
_MAX_LINKS: Final = 40
_KINDS: Final = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
}


class Way(NamedTuple):
    """The end of a way: an open descriptor, its path without links, and the first fault seen."""

    descriptor: int
    path: Path
    fault: UnsafeConfiguration | None


def check_kind(found: os.stat_result, path: Path) -> None:
    """Refuse what is no regular file, by its facts.

    Raises:
        UnsafeConfiguration: It is something else.
    """
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise UnsafeConfiguration(f"{path} is not a file", f"it is {kind}", "remove it")


def counted(links: int, path: Path) -> int:
    """Return how many links were followed, with one more.

    Raises:
        OSError: They are too many.
    """
    if links == _MAX_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return links + 1


def replaced(old: int, new: int) -> int:
    """Close the descriptor before, and return the new one."""
    os.close(old)
    return new
