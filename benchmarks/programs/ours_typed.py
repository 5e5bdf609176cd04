"""The same run as a task with a typed settings model."""

import os

from facts import tell_at_exit

from epm_task import TaskContext, TaskSettings, task

RECORDS = int(os.environ.get("BENCHMARK_RECORDS", "10"))


class Settings(TaskSettings):
    """The system's own settings."""


@task(job_id="benchmark")
def ours(ctx: TaskContext, settings: Settings) -> None:  # noqa: ARG001  # read, not used
    """Write the records."""
    tell_at_exit()
    for number in range(RECORDS):
        ctx.log.info("record", index=number)


if __name__ == "__main__":
    ours.main()
