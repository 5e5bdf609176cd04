"""Prints half a line before each record."""

from epm_task import TaskContext, task


@task(job_id="key-scanner")
def open_line(ctx: TaskContext) -> None:
    """Leave lines open."""
    print("half a line", end="", flush=True)
    ctx.log.warning("first")
    print("another", end="", flush=True)
    ctx.log.warning("second")


if __name__ == "__main__":
    open_line.main()
