"""The same run as a task without a settings model."""

import os

from epm_task import TaskContext, task

RECORDS = int(os.environ.get("BENCHMARK_RECORDS", "10"))


@task(job_id="benchmark")
def ours(ctx: TaskContext) -> None:
    """Write the records."""
    for number in range(RECORDS):
        ctx.log.info("record", index=number)


ours.main()
