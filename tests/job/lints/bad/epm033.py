"""The code behind the job EPM033."""

from __future__ import annotations

from epm_task import TaskContext, Topic, task

COMMANDS: Topic[object] = Topic("Commands/EPM033")


@task(job_id="EPM033", overlap="wait", every_minutes=5, timeout_seconds=600)
def scan(ctx: TaskContext, *, root: str = "/srv") -> None:
    """Do something."""
    return
