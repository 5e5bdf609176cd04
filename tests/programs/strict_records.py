"""Writes records, all of which the broker must acknowledge."""

from __future__ import annotations

from records import write_records

from epm_task import TaskContext, task


@task(job_id="key-scanner", broker="optional", strict_logs=True)
def strict_records(ctx: TaskContext, *, count: int = 10) -> dict[str, int]:
    """Write COUNT records."""
    write_records(ctx, count, -1, 0)
    return {"count": count}


if __name__ == "__main__":
    strict_records.main()
