"""Writes records, and nothing else, below a limit that holds from where the task begins."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from epm_task import TaskContext, task


@task(job_id="key-scanner")
def limited(ctx: TaskContext, *, count: int = 10) -> dict[str, int]:
    """Write COUNT records."""
    for n in range(count):
        ctx.log.info("record", n=n)
    return {"count": count}


def limit_memory(more: int) -> None:
    """Let the process grow by so many bytes of address space, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


if __name__ == "__main__":
    if "MORE_MEMORY" in os.environ:
        # A library that the loader cannot map is an ImportError, of which nobody knows the reason.
        import epm_task.runtime.spine
        import epm_task.runtime.stop  # noqa: F401

        limit_memory(int(os.environ["MORE_MEMORY"]))
    limited.main()
