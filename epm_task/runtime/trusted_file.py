"""A trusted file is one that no other user can have written, or read if it is secret."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from epm_task.errors import UnsafeConfiguration

if TYPE_CHECKING:
    from pathlib import Path

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
        raise UnsafeConfiguration(
            f"{path} belongs to uid {found.st_uid}, who could replace it; "
            "chown it to root or to the user of this process"
        )
    if found.st_mode & forbidden:
        raise UnsafeConfiguration(
            f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, which lets other users "
            f"{'read it' if forbidden == 0o077 else 'write it'}; "
            f"chmod {'0600' if forbidden == 0o077 else 'go-w'} {path}"
        )
