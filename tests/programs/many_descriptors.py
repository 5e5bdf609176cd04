"""Writes a record and returns a result, with more than 1024 descriptors open from the start."""

from __future__ import annotations

import os
import resource

COUNT = 1100
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * COUNT, most))
while os.open(os.devnull, os.O_RDONLY) < COUNT:
    pass

from epm_task import TaskContext, task  # noqa: E402  # it reserves the standard streams


@task(job_id="key-scanner")
def many_descriptors(ctx: TaskContext) -> dict[str, int]:
    """Write one record."""
    ctx.log.warning("record", n=0)
    return {"count": 1}


if __name__ == "__main__":
    many_descriptors.main()
