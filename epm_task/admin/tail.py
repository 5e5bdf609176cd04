"""A tail reads the lines that are added to a file from now on, also when it moves aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Tail:
    """The new lines of one file, which need not exist yet.

    The file is opened for each look only: Windows could not move it aside while it is open.

    Args:
        path: The file; `path.1` is where it moves when it is full.
    """

    def __init__(self, path: Path) -> None:
        """Remember where the file ends now."""
        self._path = path
        self._rest = b""
        self._inode, self._offset = _identity(path)

    def lines(self) -> list[bytes]:
        """Return the whole lines that were added since the last look.

        Raises:
            OSError: The file cannot be read.
        """
        inode, _ = _identity(self._path)
        data = b""
        if self._inode is not None and inode != self._inode:
            data += self._read(self._path.with_name(f"{self._path.name}.1"))
            self._offset = 0
        self._inode = inode
        data += self._read(self._path)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return whole

    def _read(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return b""
        self._offset += len(data)
        return data


def _identity(path: Path) -> tuple[int | None, int]:
    """Return inode and size; None and 0 while there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None, 0
    return found.st_ino, found.st_size
