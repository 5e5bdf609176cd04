"""Write files whole, so that they survive a power cut, and lock them against a second process."""

from __future__ import annotations

import errno
import os
import re
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

P = ParamSpec("P")
T = TypeVar("T")

#: `.{name}.{32 hexadecimal digits}.tmp`, beside the file, as a rename works within one folder.
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
#: Of the name, so that a name of 255 bytes, the most of usual file systems, has room for the rest.
_KEPT: Final = 50


def write_atomically(
    path: Path, data: bytes, *, mode: int = 0o600, dir_fd: int | None = None
) -> None:
    """Replace the content of *path*; when this returns, the new bytes survive a power cut.

    On Windows a *mode* for the owner alone lets in the system, administrators and this user; with
    another one the folder decides. A relative path begins at the open folder *dir_fd*, when there
    is one.

    Raises:
        OSError: The file could not be written; the old one is untouched. It names *path*.
    """
    temporary = path.with_name(f".{path.name[:_KEPT]}.{os.urandom(16).hex()}.tmp")
    with naming(path):
        descriptor = _create(temporary, mode, dir_fd)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            patiently(os.replace, temporary, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        except BaseException:
            with suppress(FileNotFoundError):
                patiently(os.unlink, temporary, dir_fd=dir_fd)
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
    patiently(os.unlink, path, dir_fd=dir_fd)
    sync_folder(path.parent, dir_fd=dir_fd)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left in *folder*; for before any write."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            patiently(path.unlink, missing_ok=True)


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
    import time

    from epm_task import windows_security as system

    #: The locked byte lies beyond the text, so that the holder's PID stays readable.
    _LOCKED_BYTE = 1 << 30
    #: Seconds by error code: a virus scanner or an indexer has the file open for a moment, with
    #: ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION and ERROR_DELETE_PENDING. ERROR_ACCESS_DENIED
    #: and ERROR_DIR_NOT_EMPTY may be that too, or last; Go waits 2 s for them (internal/robustio).
    _PATIENCE: Final = {32: 10.0, 33: 10.0, 303: 10.0, 5: 2.0, 145: 2.0}
    _FIRST_PAUSE_SECONDS: Final = 0.005
    _LAST_PAUSE_SECONDS: Final = 0.1

    def patiently(call: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
        """Call it, and again while another program has the file open, for some seconds at most."""
        began = time.monotonic()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call(*arguments, **options)
            except OSError as error:
                if time.monotonic() - began >= _PATIENCE.get(error.winerror or 0, 0.0):
                    raise
            time.sleep(pause)
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    def _create(path: Path, mode: int, _dir_fd: int | None) -> int:
        return system.create_file(path, private=not mode & 0o077)

    def try_lock(descriptor: int) -> bool:
        """Lock the file and return True, or return False at once when another process has it."""
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno not in {errno.EACCES, 0}:  # Wine says nothing, which is 0
                raise
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

    #: A lock of Windows belongs to the process that has made it.
    try_own = try_lock

else:
    import fcntl

    def patiently(call: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
        """Call it once: on POSIX an open file can be renamed, replaced and deleted."""
        return call(*arguments, **options)

    def _create(path: Path, mode: int, dir_fd: int | None) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=dir_fd)

    def try_lock(descriptor: int) -> bool:
        """Lock the file and return True, or return False at once when another process has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def try_own(descriptor: int) -> bool:
        """Lock the file as `try_lock`, for this process alone: no forked child has the lock.

        It ends when the process closes any descriptor of the file, and keeps out other processes
        only.
        """
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # POSIX allows both
            return False
        return True
