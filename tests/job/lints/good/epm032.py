"""The code behind the job EPM032."""

from __future__ import annotations

from epm_task import TaskContext, Topic, task

COMMANDS: Topic[object] = Topic("Commands/EPM032")


@task(job_id="EPM032", spread_minutes=5, every_minutes=60, timeout_seconds=600)
def scan(ctx: TaskContext, *, root: str = "/srv") -> None:
    """Do something."""
    return
