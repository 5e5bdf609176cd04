"""Writes to stdout in a way that it should not."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import Any, Literal

from epm_task import TaskContext, task

Way = Literal["print", "fd", "child", "fork", "c", "raw", "keep", "none"]


@task(job_id="key-scanner")
def stdout(
    ctx: TaskContext,
    *,
    way: Way = "none",
    result: Literal["ok", "none", "64k", "big", "set"] = "ok",
) -> Any:
    """Write NOISE in this WAY, then return this RESULT."""
    ctx.log.info("started")
    noise = "NOISE" + way
    if way == "print":
        print(noise, end="")
        sys.stdout.write("more\udcff\n")
    elif way == "raw":
        assert sys.__stdout__
        sys.__stdout__.buffer.write(noise.encode() + b"\n")
    elif way == "fd":
        os.write(1, noise.encode() + b"\n")
    elif way == "child":
        subprocess.run([sys.executable, "-c", f"print({noise!r})"], check=True)
    elif way == "fork":
        _fork(ctx, noise)
    elif way == "c":
        libc = ctypes.CDLL(None)
        libc.puts(noise.encode())
        libc.fflush(None)
    elif way == "keep":
        command = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
        subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return _RESULTS[result]


def _fork(ctx: TaskContext, noise: str) -> None:
    pid = os.fork()
    if not pid:
        print(noise)
        ctx.log.info("from_the_child")
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)


_RESULTS: dict[str, Any] = {
    "ok": {"a": "é\n"},
    "none": None,
    "64k": {"a": "x" * (65_536 - len('{"a":""}\n'))},
    "big": {"a": "x" * (65_537 - len('{"a":""}\n'))},
    "set": {"a": object()},
}

if __name__ == "__main__":
    stdout.main()
