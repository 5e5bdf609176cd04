"""Writes records, with or without a broker."""

from __future__ import annotations

from records import write_records

from epm_task import TaskContext, task


@task(job_id="key-scanner", broker="optional")
def optional_records(ctx: TaskContext, *, count: int = 10, wait_at: int = -1) -> None:
    """Write COUNT records."""
    write_records(ctx, count, wait_at, 0)


if __name__ == "__main__":
    optional_records.main()
