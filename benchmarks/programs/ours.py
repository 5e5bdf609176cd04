"""The same run as a task without a settings model."""

import os

from facts import tell_at_exit

from epm_task import TaskContext, task

RECORDS = int(os.environ.get("BENCHMARK_RECORDS", "10"))


@task(job_id="benchmark")
def ours(ctx: TaskContext) -> None:
    """Write the records."""
    tell_at_exit()
    for number in range(RECORDS):
        ctx.log.info("record", index=number)


if __name__ == "__main__":
    ours.main()
