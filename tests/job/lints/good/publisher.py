"""The code behind the job EPM026: it publishes on a topic of its own."""

from __future__ import annotations

from epm_task import TaskContext, Topic, task

FINDINGS: Topic[object] = Topic("Jobs/EPM026/findings")


@task(job_id="EPM026", publishes=[FINDINGS], timeout_seconds=600)
def scan(ctx: TaskContext, *, root: str = "/srv") -> None:
    """Publish one finding."""
    ctx.publish(FINDINGS, {"path": root})
