"""Judge files and folders by owner and mode, and open them so, on POSIX.

The way down from the root folder is opened name by name, each name in the folder that was opened
before it, and each is judged by its descriptor: the owner is root or this user, and nobody else may
write. A sticky folder such as /tmp is fine for an entry that root or this user owns, and so is a
group that nobody else belongs to.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from epm_task.errors import UnsafeConfiguration
from epm_task.trust.kind import AT_ONCE, Way, check_kind, counted, replaced

assert sys.platform != "win32"  # noqa: S101  # so type checkers know, too

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

_OTHERS_WRITE: Final = 0o022
_GROUP: Final = 0o070
_READ: Final = os.O_RDONLY | AT_ONCE
#: Linux opens a folder that may be passed but not read only with O_PATH.
_FOLDER: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW


def walk(path: Path, *, folder: bool = False, secret: bool = False, make: int | None = None) -> Way:
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
                links = counted(links, path)
                fault = fault or fault_of(found, place)
                target = Path(os.readlink(name, dir_fd=descriptor))
                if target.is_absolute():
                    descriptor, here = replaced(descriptor, os.open("/", _FOLDER)), Path("/")
                names += reversed(target.parts[target.is_absolute() :])
                continue
            if is_file:
                check_kind(found, place)
            opened = os.open(name, _READ if is_file else _FOLDER, dir_fd=descriptor)
            descriptor, here = replaced(descriptor, opened), place
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
    return Way(descriptor, here, fault)


def _entry(name: str, parent: int, place: Path, make: int | None) -> os.stat_result:
    """Return the facts of an entry of an opened folder; make a missing folder when asked to."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if make is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place)) from None
    with suppress(FileExistsError):  # another process may make it at the same time
        os.mkdir(name, make, dir_fd=parent)
    return os.stat(name, dir_fd=parent, follow_symlinks=False)


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
    from shlex import quote  # noqa: PLC0415  # each start of a task reads a file

    mode = stat.S_IMODE(found.st_mode)
    what = f"{path} belongs to {_user(found.st_uid)} and has mode {mode:04o}"
    if not is_ours(found, path):
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


def judge(
    opened: int, path: Path, *, secret: bool = False, in_passing: bool = False
) -> UnsafeConfiguration | None:
    """Return why somebody else could replace an open file or folder; see `fault_of`."""
    return fault_of(os.fstat(opened), path, secret=secret, in_passing=in_passing)


def owner_of(found: os.stat_result, _path: Path) -> int:
    """Return the owner of an entry, as a user id."""
    return found.st_uid


def is_privileged() -> bool:
    """Return whether this process runs as root."""
    return os.geteuid() == 0


def is_ours(found: os.stat_result, _path: Path) -> bool:
    """Return whether a file belongs to root or to this user."""
    return found.st_uid in {0, os.geteuid()}


def _user(uid: int) -> str:
    return "root" if uid == 0 else f"uid {uid}"


def _is_private(gid: int, path: Path) -> bool:
    """Return whether nobody but root and this user belongs to a group that the system knows.

    An access control list makes it unknown: what the mode says of the group is its mask then.
    """
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


@contextmanager
def entry(path: Path) -> Iterator[tuple[str, int | None]]:
    """Yield the name of an entry, and its open folder for `dir_fd`: only we can write in it.

    So what is done there happens in the folder that was judged. An OSError tells the whole path.

    Raises:
        UnsafeConfiguration: Somebody else could write in the folder, or replace it.
        OSError: The folder is missing, or cannot be opened.
    """
    way = walk(path.parent, folder=True)
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


def open_private(path: Path) -> int:
    """Open a file for reading and writing, or make one that nobody else can read.

    Raises:
        UnsafeConfiguration: Somebody else could write in its folder, or it is a link or a device.
        OSError: It cannot be opened.
    """
    with entry(path) as (name, dir_fd):
        with suppress(FileNotFoundError):
            check_kind(os.stat(name, dir_fd=dir_fd, follow_symlinks=False), path)
        return os.open(name, os.O_RDWR | os.O_CREAT | AT_ONCE, 0o600, dir_fd=dir_fd)


def make_folder(path: Path, mode: int, *, dir_fd: int | None = None) -> None:
    """Make a folder with this mode, whatever the umask is, in the open folder *dir_fd*.

    Raises:
        OSError: It is there already, or cannot be made.
    """
    os.mkdir(path, dir_fd=dir_fd)
    os.chmod(path, mode, dir_fd=dir_fd)


def path_of(file: BufferedReader, _path: Path) -> str:
    """Return a name for an opened file, for OpenSSL, which takes no descriptor.

    It is that of the descriptor, so that no other file can be meant.
    """
    return f"/dev/fd/{file.fileno()}"
