"""The code behind the job EPM035."""

from __future__ import annotations

from epm_task import TaskContext, Topic, task

COMMANDS: Topic[object] = Topic("Commands/EPM035")


@task(job_id="EPM035", subscribes=[COMMANDS], every_minutes=60, timeout_seconds=600)
def scan(ctx: TaskContext, *, root: str = "/srv") -> None:
    """Do something."""
    ctx.log.info("here")
