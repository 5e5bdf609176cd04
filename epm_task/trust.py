"""Open files and folders that nobody but root and this user can change; all callers ask here.

The way down from the root folder is opened name by name, each name in the folder that was opened
before it, and each is judged by its descriptor: the owner is root or this user, and nobody else may
write. That holds for the folders of every link on the way too. A sticky folder such as /tmp is fine
for an entry that root or this user owns, and so is a group that nobody else belongs to. After that
no other user can give the path another meaning, and what is read comes from the judged descriptor.

Windows has no such calls. There only the kind of a file is looked at: its rights are those of its
folder.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.errors import UnsafeConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

_OTHERS_WRITE: Final = 0o022
_GROUP: Final = 0o070
#: A pipe that is swapped in must not keep the caller waiting; Windows has none among its files.
_NO_WAITING: Final = (
    getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
)
#: Nor is a link followed that is swapped in.
AT_ONCE: Final = _NO_WAITING | getattr(os, "O_NOFOLLOW", 0)
#: As Linux does, path_resolution(7).
_MAX_LINKS: Final = 40
#: That of Windows, in UTF-16 units; other systems take less, and say so themselves.
_LONGEST_NAME: Final = 32_767
_KINDS: Final = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
}


def fault_of(
    found: os.stat_result, path: Path, *, secret: bool = False, in_passing: bool = False
) -> UnsafeConfiguration | None:
    """Return why somebody else could replace a file or folder; None when nobody can.

    Args:
        found: Its facts, those of an opened descriptor or of the entry of a trusted folder.
        path: What it is called in the sentence.
        secret: Nobody else may read it either.
        in_passing: It is a folder on the way, of which one entry counts, so it may be sticky.
    """
    if os.name != "posix":
        return None
    from shlex import quote  # noqa: PLC0415  # each start of a task reads a file

    mode = stat.S_IMODE(found.st_mode)
    what = f"{path} belongs to {_user(found.st_uid)} and has mode {mode:04o}"
    if not is_ours(found):
        fix = f"chown {_user(os.geteuid())} {quote(str(path))}"
        return UnsafeConfiguration(what, "its owner could replace it", fix)
    open_to = mode & (0o077 if secret else _OTHERS_WRITE)
    if stat.S_ISLNK(found.st_mode) or (in_passing and mode & stat.S_ISVTX):
        return None
    if open_to & _GROUP and _is_private(found.st_gid, path):
        open_to &= ~_GROUP
    if not open_to:
        return None
    who = f"every member of group {found.st_gid}" if open_to & _GROUP else "every user"
    act = "write" if open_to & _OTHERS_WRITE else "read"
    fix = f"chmod {'0600' if secret else 'go-w'} {quote(str(path))}"
    return UnsafeConfiguration(what, f"{who} can {act} it", fix)


def is_ours(found: os.stat_result) -> bool:
    """Return whether a file belongs to root or to this user; always, on Windows."""
    return os.name != "posix" or found.st_uid in {0, os.geteuid()}


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
    way = _walk(path, secret=secret)
    return os.fdopen(way.descriptor, "rb"), way.fault


def read_file(path: Path, limit: int, *, secret: bool = False) -> bytes:
    """Return what a file holds, at most *limit* bytes; raises what `open_file` raises."""
    with open_file(path, secret=secret) as file:
        return file.read(limit)


def path_of(file: BufferedReader, path: Path) -> str:
    """Return a name for an opened file, for OpenSSL, which takes no descriptor.

    On POSIX it is that of the descriptor, so that no other file can be meant; elsewhere it is
    *path*.
    """
    return f"/dev/fd/{file.fileno()}" if os.name == "posix" else str(path)


def check_folder(path: Path, *, make: int | None = None) -> None:
    """Refuse a folder in which somebody else could write, or which somebody could replace.

    With the mode *make* each missing folder of the path is made; the umask counts.

    Raises:
        UnsafeConfiguration: Somebody could.
        OSError: It is missing, is not a folder, or cannot be made.
    """
    way = _walk(path, folder=True, make=make)
    os.close(way.descriptor)
    if way.fault:
        raise way.fault


def open_to_write(path: Path) -> int:
    """Return the descriptor of a private file for reading and writing; a missing one is made.

    In its folder only root and this user can write.

    Raises:
        UnsafeConfiguration: Somebody else could write there, or it is a link or no regular file.
        OSError: It cannot be opened.
    """
    with entry(path) as (name, dir_fd):
        with suppress(FileNotFoundError):
            check_kind(os.stat(name, dir_fd=dir_fd, follow_symlinks=False), path)
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | AT_ONCE, 0o600, dir_fd=dir_fd)
    try:
        _check_ours(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def entry(path: Path) -> Iterator[tuple[str, int | None]]:
    """Yield the name of an entry, and its open folder for `dir_fd`: only we can write in it.

    So what is done there happens in the folder that was judged. On Windows, which has no `dir_fd`,
    it is the whole path and None. An OSError tells the whole path.

    Raises:
        UnsafeConfiguration: Somebody else could write in the folder, or replace it.
        OSError: The folder is missing, or cannot be opened.
    """
    if sys.platform == "win32":
        yield str(path), None
        return
    way = _walk(path.parent, folder=True)
    try:
        if way.fault:
            raise way.fault
        yield path.name, way.descriptor
    except OSError as error:
        if error.filename2 == path.name:
            error.filename2 = str(path)
        elif error.filename == path.name:
            error.filename = str(path)
        raise
    finally:
        os.close(way.descriptor)


def open_regular(path: Path) -> BufferedReader:
    """Return a regular file, opened for reading, whoever can change it; a pipe does not block.

    Raises:
        UnsafeConfiguration: It is not a regular file.
        OSError: It cannot be opened.
    """
    _check_name(path)
    check_kind(path.stat(), path)
    descriptor = os.open(path, os.O_RDONLY | _NO_WAITING)
    if fault := _kind_fault(os.fstat(descriptor), path):
        os.close(descriptor)
        raise fault
    return os.fdopen(descriptor, "rb")


class _Way(NamedTuple):
    """The end of a way: an open descriptor, its path without links, and the first fault seen."""

    descriptor: int
    path: Path
    fault: UnsafeConfiguration | None


if sys.platform == "win32":

    def _walk(
        path: Path, *, folder: bool = False, secret: bool = False, make: int | None = None
    ) -> _Way:
        """Open a file without judging it; for a folder, which Windows opens not, open NUL."""
        del secret
        if folder:
            if make is not None:
                path.mkdir(parents=True, exist_ok=True)
            elif not path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
            return _Way(os.open(os.devnull, os.O_RDONLY), path, None)
        check_kind(path.stat(), path)
        return _Way(os.open(path, os.O_RDONLY | os.O_BINARY), path, None)

else:
    _READ: Final = os.O_RDONLY | AT_ONCE
    #: Linux opens a folder that may be passed but not read only with O_PATH.
    _FOLDER: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW

    def _walk(
        path: Path, *, folder: bool = False, secret: bool = False, make: int | None = None
    ) -> _Way:
        """Open *path* name by name from the root folder, and judge each descriptor."""
        here = Path("/")
        names = list(reversed(path.absolute().parts[1:]))
        descriptor = os.open(here, _FOLDER)
        fault = fault_of(os.fstat(descriptor), here, in_passing=True)
        links = 0
        try:
            while names:
                name = names.pop()
                place = here.parent if name == ".." else here / name
                is_file = not (names or folder)
                found = _entry(name, descriptor, place, make if fault is None else None)
                if stat.S_ISLNK(found.st_mode):
                    links = _counted(links, path)
                    fault = fault or fault_of(found, place)
                    target = Path(os.readlink(name, dir_fd=descriptor))
                    if target.is_absolute():
                        descriptor, here = _replaced(descriptor, os.open("/", _FOLDER)), Path("/")
                    names += reversed(target.parts[target.is_absolute() :])
                    continue
                if is_file:
                    check_kind(found, place)
                opened = os.open(name, _READ if is_file else _FOLDER, dir_fd=descriptor)
                descriptor, here = _replaced(descriptor, opened), place
                found = os.fstat(descriptor)
                if is_file:
                    check_kind(found, here)
                fault = fault or fault_of(
                    found, here, secret=secret and is_file, in_passing=bool(names)
                )
        except BaseException as error:
            os.close(descriptor)
            if fault and isinstance(error, FileNotFoundError):
                raise fault from None  # nothing was made where another user leads
            raise
        return _Way(descriptor, here, fault)

    def _entry(name: str, parent: int, place: Path, make: int | None) -> os.stat_result:
        """Return the facts of an entry of an opened folder; make a missing folder when asked to."""
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            if make is None:
                raise FileNotFoundError(
                    errno.ENOENT, os.strerror(errno.ENOENT), str(place)
                ) from None
        with suppress(FileExistsError):  # another process may make it at the same time
            os.mkdir(name, make, dir_fd=parent)
        return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def _counted(links: int, path: Path) -> int:
        if links == _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        return links + 1

    def _replaced(old: int, new: int) -> int:
        os.close(old)
        return new


def _check_name(path: Path) -> None:
    # For these Python raises a ValueError, which no caller expects of a file.
    if "\0" in str(path):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
    if len(str(path)) > _LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))


def check_kind(found: os.stat_result, path: Path) -> None:
    """Refuse what is no regular file, by its facts.

    Raises:
        UnsafeConfiguration: It is something else.
    """
    if fault := _kind_fault(found, path):
        raise fault


def _check_ours(found: os.stat_result, path: Path) -> None:
    if fault := fault_of(found, path):
        raise fault
    if found.st_nlink > 1:  # another user may have linked a file of root's here
        raise UnsafeConfiguration(f"{path} has another name", "it is a hard link", "remove it")


def _kind_fault(found: os.stat_result, path: Path) -> UnsafeConfiguration | None:
    if stat.S_ISREG(found.st_mode):
        return None
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
    return UnsafeConfiguration(f"{path} is not a file", f"it is {kind}", "remove it")


def _user(uid: int) -> str:
    return "root" if uid == 0 else f"uid {uid}"


def _is_private(gid: int, path: Path) -> bool:
    """Return whether nobody but root and this user belongs to a group that the system knows.

    An access control list makes it unknown: what the mode says of the group is its mask then.
    """
    if sys.platform == "win32":
        return False
    import grp  # noqa: PLC0415  # asked for files that a group can write, which are few
    import pwd  # noqa: PLC0415

    own = {0, os.geteuid()}
    try:
        members = [pwd.getpwnam(name).pw_uid for name in grp.getgrgid(gid).gr_mem]
    except KeyError:  # an unknown group, or an unknown member
        return False
    everybody = [*members, *(user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid)]
    return own.issuperset(everybody) and not _has_list(path)


def _has_list(path: Path) -> bool:
    if sys.platform != "linux":
        return False
    try:
        os.getxattr(path, "system.posix_acl_access", follow_symlinks=False)
    except OSError as error:
        return error.errno not in {errno.ENODATA, errno.ENOTSUP}
    return True
