"""Says which modules a run has loaded by its end."""

from __future__ import annotations

import sys

from epm_task import TaskContext, task


@task(job_id="key-scanner")
def modules(ctx: TaskContext, *, count: int = 1) -> dict[str, int]:
    """Write COUNT records, then name the modules on stderr."""
    for number in range(count):
        ctx.log.info("record", number=number)
    print(*sorted(sys.modules), file=sys.stderr)
    return {"count": count}


if __name__ == "__main__":
    modules.main()
