"""Does, as a built program, what the programs beside it do as sources."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import Literal

from epm_task import TaskContext, task


@task(job_id="key-scanner", broker="optional")
def frozen(
    ctx: TaskContext,
    *,
    count: int = 10,
    way: Literal["none", "print", "fd", "child", "c", "os-exit"] = "none",
    wait: bool = False,
) -> dict[str, int]:
    """Write COUNT records, then NOISE in this WAY; perhaps wait for a line on stdin."""
    for n in range(count):
        ctx.log.info("record", n=n)
    if way == "print":
        print("NOISE")
    elif way == "fd":
        os.write(1, b"NOISE\n")
    elif way == "child":
        subprocess.run(["echo", "NOISE"], check=True)
    elif way == "c":
        libc = ctypes.CDLL(None)
        libc.puts(b"NOISE")
        libc.fflush(None)
    elif way == "os-exit":
        os._exit(9)
    if wait:
        print("waiting", flush=True)
        sys.stdin.readline()
    return {"count": count}


if __name__ == "__main__":
    frozen.main()
