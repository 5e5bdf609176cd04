"""Fail with an exit code of the author's own, and a sentence that says what to do."""

import shutil
from pathlib import Path

from epm_task import TaskContext, TaskFailed, task


@task(every_minutes=30, timeout_seconds=60)
def own_exit_code(
    ctx: TaskContext, *, path: Path = Path("/"), percent: float = 100.0
) -> dict[str, float]:
    """Fail with exit code 3 unless PERCENT of the disk at PATH is free."""
    usage = shutil.disk_usage(path)
    free = round(100 * usage.free / usage.total, 1)
    ctx.log.info("disk_measured", path=path, free_percent=free)
    if free < percent:
        raise TaskFailed(
            f"{free} % of {path} is free, below {percent} %; remove old files", exit_code=3
        )
    return {"free_percent": free}


if __name__ == "__main__":
    own_exit_code.main()
