"""Writes many records, and says how much memory that took."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from epm_task import TaskContext, task


def peak_bytes() -> int:
    """Return the most memory that this program has held; 0 where the system does not tell.

    Not `ru_maxrss`, which begins with the memory of the process that started this one.
    """
    if sys.platform != "linux":
        return 0
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@task(job_id="key-scanner")
def many_records(ctx: TaskContext, *, count: int = 10) -> dict[str, int]:
    """Write COUNT records of about 300 bytes."""
    for n in range(count):
        ctx.log.info("record", n=n, text="x" * 100)
    print(f"handler-ended {time.monotonic()}", flush=True)
    return {"peak": peak_bytes()}


if __name__ == "__main__":
    many_records.main()
