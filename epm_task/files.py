"""Write files whole, so that they survive a power cut, and lock them against a second process.

The Windows branches are written from the platform's documentation and are untested.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: `.{name}.{32 hexadecimal digits}.tmp`, beside the file, as a rename works within one folder.
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
#: Of the name, so that a name of 255 bytes, the most of usual file systems, has room for the rest.
_KEPT: Final = 50


def write_atomically(
    path: Path, data: bytes, *, mode: int = 0o600, dir_fd: int | None = None
) -> None:
    """Replace the content of *path*; when this returns, the new bytes survive a power cut.

    Windows keeps the permissions of the folder, whatever *mode* is. A relative path begins at the
    open folder *dir_fd*, when there is one.

    Raises:
        OSError: The file could not be written; the old one is untouched. It names *path*.
    """
    temporary = path.with_name(f".{path.name[:_KEPT]}.{os.urandom(16).hex()}.tmp")
    with naming(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=dir_fd)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=dir_fd)
            raise
        sync_folder(path.parent, dir_fd=dir_fd)


@contextmanager
def naming(path: Path, *, below: Path | None = None) -> Iterator[None]:
    """Let an OSError name *path*, which people know, and not what is written on the way there.

    With *below* only errors about names that begin so, or about none, are changed.
    """
    try:
        yield
    except OSError as error:
        about = error.filename
        if below is None or about is None or str(about).startswith(str(below)):
            error.filename = str(path)
            del error.filename2
        raise


def documents(folder: Path) -> list[Path]:
    """Return the JSON files of *folder* by name, without hidden ones.

    macOS leaves `._name.json` beside each file on a network share.
    """
    names = sorted(path.name for path in folder.glob("*.json"))
    return [folder / name for name in names if not name.startswith(".")]


def remove_durably(path: Path, *, dir_fd: int | None = None) -> None:
    """Delete *path*; when this returns, the file does not come back after a power cut.

    A relative path begins at the open folder *dir_fd*, when there is one.

    Raises:
        OSError: The file is absent or cannot be deleted.
    """
    os.unlink(path, dir_fd=dir_fd)
    sync_folder(path.parent, dir_fd=dir_fd)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left in *folder*; for before any write."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def sync_folder(folder: Path, *, dir_fd: int | None = None) -> None:
    """Make the names in *folder* durable; Windows does this by itself and has no such call."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY, dir_fd=dir_fd)
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
