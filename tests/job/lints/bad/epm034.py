"""The code behind the job EPM034."""

from __future__ import annotations

from epm_task import TaskContext, Topic, task

COMMANDS: Topic[object] = Topic("Commands/EPM034")


@task(job_id="EPM034", execution_type="UserElevated", every_minutes=60, timeout_seconds=600)
def scan(ctx: TaskContext, *, root: str = "/srv") -> None:
    """Do something."""
    ctx.state["runs"] = 1
