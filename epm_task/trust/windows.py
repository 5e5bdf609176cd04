"""Judge files and folders by their security descriptors, and open them so, on Windows.

The way down from the root of the drive is opened name by name, and no link is followed unseen. Each
handle is judged, from the top: so no other user can give the names above another meaning. The
folder at the end stays open in a way that keeps it from being deleted or renamed.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from epm_task import windows_security as system
from epm_task.errors import UnsafeConfiguration
from epm_task.files import patiently
from epm_task.trust.descriptor import Judge, parse
from epm_task.trust.kind import Way, check_kind, counted, replaced

assert sys.platform == "win32"  # noqa: S101  # so type checkers know, too

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

_LINKS: Final = frozenset({stat.IO_REPARSE_TAG_SYMLINK, stat.IO_REPARSE_TAG_MOUNT_POINT})
#: IsReparseTagNameSurrogate of ntifs.h: it leads to another file, in a way not known here.
_SURROGATE: Final = 0x2000_0000
_LOOK: Final = system.READ_CONTROL | system.READ_ATTRIBUTES
#: It counts as reading, so that others, who read and write, can neither delete nor rename it.
_HOLD: Final = _LOOK | system.LIST_FOLDER


def judge(
    opened: int, path: Path, *, secret: bool = False, in_passing: bool = False
) -> UnsafeConfiguration | None:
    """Return why somebody else could replace an open file or folder; None when nobody can.

    Args:
        opened: Its descriptor.
        path: What it is called in the sentence.
        secret: Nobody else may read it either.
        in_passing: It is a folder on the way, of which one entry counts, so others may make more.
    """
    try:
        found = parse(system.descriptor_of(opened))
        judging = Judge(system.this_user(), system.account_name)
    except (OSError, ValueError) as error:
        return _unknown(path, error)
    folder = stat.S_ISDIR(os.fstat(opened).st_mode)
    return judging.fault_of(found, path, folder=folder, secret=secret, in_passing=in_passing)


def _unknown(path: Path, error: Exception) -> UnsafeConfiguration:
    return UnsafeConfiguration(
        f"who could replace {path} is not known",
        str(error),
        f'look at its rights with icacls "{path}"',
    )


def fault_of(
    _found: os.stat_result, path: Path, *, secret: bool = False
) -> UnsafeConfiguration | None:
    """Return why somebody else could replace an entry of a trusted folder; None when nobody can."""
    try:
        opened = patiently(system.open_file, path, _LOOK)
    except OSError as error:
        return _unknown(path, error)
    try:
        return judge(opened, path, secret=secret)
    finally:
        os.close(opened)


def owner_of(_found: os.stat_result, path: Path) -> str:
    """Return the owner of an entry, as a SID; empty when it is not known."""
    try:
        opened = patiently(system.open_file, path, _LOOK)
    except OSError:
        return ""
    try:
        return parse(system.descriptor_of(opened)).owner
    except (OSError, ValueError):
        return ""
    finally:
        os.close(opened)


def is_ours(found: os.stat_result, path: Path) -> bool:
    """Return whether an entry belongs to the system, to administrators, or to this user."""
    return Judge(system.this_user(), system.account_name).trusts(owner_of(found, path))


def is_privileged() -> bool:
    """Return whether this process runs with the rights of an administrator, or of the system."""
    return system.is_administrator()


def walk(path: Path, *, folder: bool = False, secret: bool = False, make: int | None = None) -> Way:
    """Open *path* name by name from the root of its drive, and judge each handle."""
    here, names = _steps(path)
    descriptor = _open(here, end=folder and not names)
    fault = judge(descriptor, here, in_passing=bool(names))
    links = 0
    try:
        while names:
            place = here / names.pop()
            is_file = not (names or folder)
            tag = _tag(place, None if fault else make)
            opened = _open(place, tag, folder=not is_file, end=folder and not names)
            descriptor, here = replaced(descriptor, opened), place
            if tag in _LINKS:
                links = counted(links, path)
                fault = fault or judge(descriptor, place)
                here, further = _steps(_target(place))
                names += further
                descriptor = replaced(descriptor, _open(here, end=folder and not names))
                fault = fault or judge(descriptor, here, in_passing=bool(names))
                continue
            if is_file:
                check_kind(os.fstat(descriptor), here)
            else:
                _check_folder(descriptor, here)
            fault = fault or judge(
                descriptor, here, secret=secret and is_file, in_passing=bool(names)
            )
    except BaseException as error:
        os.close(descriptor)
        if fault and isinstance(error, FileNotFoundError):
            raise fault from None  # nothing was made where another user leads
        raise
    return Way(descriptor, here, fault)


def _check_folder(descriptor: int, path: Path) -> None:
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def _steps(path: Path) -> tuple[Path, list[str]]:
    """Return the root of a path, and the names below it, the first one last."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100  # as Windows takes ".." and dots at ends
    return Path(whole.anchor), list(reversed(whole.parts[1:]))


def _tag(place: Path, make: int | None) -> int:
    """Return what kind of link an entry is, 0 for none; make a missing folder when asked to."""
    if make is not None and not os.path.lexists(place):
        with suppress(FileExistsError):  # another process may make it at the same time
            make_folder(place, make)
    tag = os.lstat(place).st_reparse_tag
    if tag & _SURROGATE and tag not in _LINKS:
        raise UnsafeConfiguration(f"{place} is not a file", "it is an unknown link", "remove it")
    return tag


def _open(place: Path, tag: int = 0, *, folder: bool = True, end: bool = False) -> int:
    """Open an entry, of a link the link itself; other tags are those of drivers, as of OneDrive."""
    access = _HOLD if end else _LOOK if folder else system.GENERIC_READ
    share = system.SHARE_READ_WRITE if end else system.SHARE_ALL
    follow = tag not in _LINKS and tag != 0
    return patiently(system.open_file, place, access, share=share, follow=follow)


def _target(link: Path) -> Path:
    text = str(link.readlink())
    drive = text.removeprefix("\\\\?\\")
    return link.parent / (drive if drive[1:2] == ":" else text)


def make_folder(path: Path, mode: int, *, dir_fd: int | None = None) -> None:
    """Make a folder for the system, administrators and this user; for users too, unless private.

    Raises:
        OSError: It is there already, or cannot be made.
    """
    del dir_fd
    system.make_folder(path, private=not mode & 0o077)


def open_private(path: Path) -> int:
    """Open a file for reading and writing, or make one that nobody else can read.

    Raises:
        UnsafeConfiguration: Somebody else could write in its folder, or it is a link or a device.
        OSError: It cannot be opened.
    """
    with entry(path) as (name, _):
        with suppress(FileNotFoundError):
            check_kind(os.lstat(name), path)
        return patiently(
            system.open_file,
            Path(name),
            system.GENERIC_READ | system.GENERIC_WRITE,
            share=system.SHARE_READ_WRITE,
            how=system.OPEN_ALWAYS,
            private=True,
        )


@contextmanager
def entry(path: Path) -> Iterator[tuple[str, int | None]]:
    """Yield the path of an entry without links, and None; its folder is held meanwhile.

    Raises:
        UnsafeConfiguration: Somebody else could write in the folder, or replace it.
        OSError: The folder is missing, or cannot be opened.
    """
    way = walk(path.parent, folder=True)
    try:
        if way.fault:
            raise way.fault
        yield str(way.path / path.name), None
    finally:
        os.close(way.descriptor)


def path_of(_file: BufferedReader, path: Path) -> str:
    """Return a name for an opened file: nobody else can give the judged one another meaning."""
    return str(path)
