"""A file lock keeps a second process off a file; the operating system frees it with the process.

The Windows branch is written from the platform's documentation and is untested.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import msvcrt
    import os

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
