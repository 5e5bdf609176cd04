"""Files that survive: written whole, locked against a second process, and trusted only when safe.

The Windows branches are written from the platform's documentation and are untested.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Final

from epm_task.errors import UnsafeConfiguration

if TYPE_CHECKING:
    from pathlib import Path


#: `.{name}.{32 hexadecimal digits}.tmp`, beside the file, as a rename works within one folder.
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace the content of *path*; when this returns, the new bytes survive a power cut.

    Args:
        path: The file, in a folder that exists.
        data: Its whole new content.
        mode: Permissions of the file. Windows keeps those of the folder.

    Raises:
        OSError: The file could not be written; the old one is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(16).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_durably(path: Path) -> None:
    """Delete *path*; when this returns, the file does not come back after a power cut.

    Raises:
        OSError: The file is absent or cannot be deleted.
    """
    path.unlink()
    sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left in *folder*; for before any write."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable; Windows does this by itself and has no such call."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    #: The locked byte lies beyond the text, so that the holder's PID stays readable.
    _LOCKED_BYTE = 1 << 30

    def try_lock(descriptor: int) -> bool:
        """Lock the file and return True, or return False at once when another process has it."""
        try:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Lock the file and return True, or return False at once when another process has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


#: A key, token or password is far smaller; a device or a log given by mistake is not.
_MAX_SECRET_BYTES: Final = 64 * 1024


def check_trusted(path: Path, *, secret: bool = False) -> None:
    """Refuse a file that another user could have replaced; the rule is that of OpenSSH.

    The owner of the file and of every folder above it is root or this user, and nobody else may
    write there (a folder with the sticky bit, such as /tmp, is fine). A secret is readable by its
    owner alone. On Windows nothing is checked: rights there are inherited from the folder.

    Raises:
        UnsafeConfiguration: The rule is broken.
        OSError: The file cannot be examined.
    """
    if os.name != "posix":
        return
    resolved = path.resolve(strict=True)
    _check_owner_and_mode(resolved, forbidden=0o077 if secret else 0o022)
    for folder in resolved.parents:
        sticky = folder.stat().st_mode & stat.S_ISVTX
        _check_owner_and_mode(folder, forbidden=0 if sticky else 0o002)


def read_secret(path: Path, *, binary: bool = False) -> str | bytes:
    """Return the secret in *path*, without the line end that editors add.

    Raises:
        UnsafeConfiguration: Somebody else can read or replace the file.
        ValueError: It cannot be read, is not UTF-8 text, or is larger than 64 KiB.
    """
    try:
        check_trusted(path, secret=True)
        with path.open("rb") as file:
            data = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > _MAX_SECRET_BYTES:
        raise ValueError(f"{path} is larger than 64 KiB")
    if binary:
        return data
    try:
        return data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def _check_owner_and_mode(path: Path, *, forbidden: int) -> None:
    found = path.stat()
    if found.st_uid not in {0, os.geteuid()}:
        what = f"{path} belongs to uid {found.st_uid}, who could replace it"
        raise UnsafeConfiguration(what, fix="chown it to root or to the user of this process")
    if found.st_mode & forbidden:
        act, mode = ("read", "0600") if forbidden == 0o077 else ("write", "go-w")
        what = f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, which lets other users {act} it"
        raise UnsafeConfiguration(what, fix=f"chmod {mode} {path}")
