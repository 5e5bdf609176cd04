"""A full disk is a fault: the process of a task can add no byte to any file.

Without root, and without another PID, no real file system can be filled for one process alone. The
nearest honest thing is the kernel's limit on file size, set to 0: each write to a regular file
fails with `EFBIG` in place of `ENOSPC`, while pipes and sockets work on. Only Linux can set it from
outside.
"""

from __future__ import annotations

import sys


def apply(pid: int) -> str:
    """Let every further write to a regular file by *pid* fail; return what was done, or why not."""
    if sys.platform != "linux":
        return "not done: only Linux can limit the file size of another process"
    import resource  # noqa: PLC0415 - the module does not exist on Windows

    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
    except OSError as error:
        return f"not done: {error}"
    return "the limit on file size is 0 bytes: writes fail with EFBIG, as they would with ENOSPC"
