"""The code behind the job EPM032."""

from __future__ import annotations

from epm_task import TaskContext, Topic, task

COMMANDS: Topic[object] = Topic("Commands/EPM032")


@task(job_id="EPM032", spread_minutes=15, every_minutes=10, timeout_seconds=120)
def scan(ctx: TaskContext, *, root: str = "/srv") -> None:
    """Do something."""
    return
