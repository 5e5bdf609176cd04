"""Says which modules and settings the process got, and from where."""

from __future__ import annotations

import json
import sys

from epm_task import TaskContext, TaskSettings, task


class Settings(TaskSettings, plugin="KeyScanner"):
    """Fields with the names of variables that every environment may hold."""

    path: str = "default"
    timeout: int = 7
    verify: bool = True


@task(job_id="key-scanner")
def look_around(ctx: TaskContext, settings: Settings) -> dict[str, object]:
    """Return the settings, and the file of the module `json`."""
    ctx.log.info("started")
    return {**dict(settings), "json": json.__file__, "socks": "socks" in sys.modules}


if __name__ == "__main__":
    look_around.main()
