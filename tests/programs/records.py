"""Writes records, may wait in the middle, and ends in one of the ways a handler can end."""

from __future__ import annotations

import sys
import time
from typing import Literal

from epm_task import TaskContext, TaskFailed, task


def write_records(ctx: TaskContext, count: int, wait_at: int, size: int) -> None:
    """Write COUNT records; before number WAIT_AT wait for a line on stdin."""
    text = "x" * size
    for n in range(count):
        if n == wait_at:
            print("waiting", flush=True)
            sys.stdin.readline()
        ctx.log.info("record", n=n, text=text)
    print(f"handler-ended {time.monotonic()}", flush=True)


@task(job_id="key-scanner")
def records(
    ctx: TaskContext,
    *,
    count: int = 10,
    wait_at: int = -1,
    size: int = 0,
    end: Literal["return", "raise", "exit", "fail", "sleep"] = "return",
) -> dict[str, int]:
    """Write COUNT records, then end in this way."""
    write_records(ctx, count, wait_at, size)
    if end == "raise":
        raise RuntimeError("raised by the handler")
    if end == "fail":
        raise TaskFailed("it could not be done", exit_code=3)
    if end == "exit":
        sys.exit(3)
    if end == "sleep":
        time.sleep(60)
    return {"count": count}


if __name__ == "__main__":
    records.main()
