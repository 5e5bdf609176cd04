"""Publishes on a topic that it declares, and on one that it does not."""

from __future__ import annotations

from epm_task import TaskContext, Topic, task

FINDINGS: Topic[object] = Topic("Jobs/key-scanner/findings")
OTHER: Topic[object] = Topic("Jobs/key-scanner/other")


@task(job_id="key-scanner", publishes=[FINDINGS])
def publish(
    ctx: TaskContext, *, undeclared: bool = False, text: bool = False, odd: bool = False
) -> None:
    """Publish a finding."""
    ctx.publish(FINDINGS, {"path": "/a", "size": 3})
    if text:
        ctx.publish("Jobs/key-scanner/other", {})  # type: ignore[arg-type]  # as without mypy
    if odd:
        ctx.publish(FINDINGS, {"findings": [{"when": object()}]})
    if undeclared:
        ctx.publish(OTHER, {})


if __name__ == "__main__":
    publish.main()
