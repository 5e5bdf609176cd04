"""An exchange swaps two folders in one step of the kernel: at every instant both are there.

Linux has `renameat2(RENAME_EXCHANGE)` since 3.15, macOS `renamex_np(RENAME_SWAP)` since 10.12; the
latter is written from its manual page and untested. Windows has no such call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_AT_FDCWD: Final = -100  # fcntl.h
_RENAME_EXCHANGE: Final = 2  # linux/fs.h
_RENAME_SWAP: Final = 2  # sys/stdio.h of macOS
#: The file system, or the C library, has no such call.
_UNKNOWN: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def exchange(one: Path, other: Path) -> bool:
    """Swap two folders and return True; return False where that is not possible in one step.

    Raises:
        OSError: The operating system refuses.
    """
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        if not hasattr(library, "renamex_np"):
            return False
        result = library.renamex_np(first, second, _RENAME_SWAP)
    else:
        if not hasattr(library, "renameat2"):
            return False
        result = library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    if result == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
