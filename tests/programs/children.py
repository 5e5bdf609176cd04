"""Has work done by child processes, started in one of the ways in which Python starts them."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Literal

from epm_task import TaskContext, task


def work(number: int) -> int:
    """Say something on stdout, and return an answer."""
    print(f"NOISE {number}\n", end="", flush=True)  # in one write, as others write, too
    return number * number


def leave_one_behind(number: int) -> int:
    """Start a grandchild that goes on, and say which."""
    sleep = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    left = subprocess.Popen(sleep, close_fds=False)
    print(f"left {left.pid}\n", end="", flush=True)
    left.returncode = 0  # nobody waits for it
    return work(number)


@task(job_id="key-scanner")
def children(
    ctx: TaskContext,
    *,
    way: Literal["subprocess", "spawn", "fork", "forkserver"],
    leave: bool = False,
) -> dict[str, int]:
    """Let two children work, and return the sum of their answers."""
    ctx.log.info("before")
    job = leave_one_behind if leave else work
    if way == "subprocess":
        code = f"import children; children.{job.__name__}"
        for number in (3, 4):
            command = [sys.executable, "-c", f"{code}({number})"]
            subprocess.run(command, check=True, cwd=Path(__file__).parent, close_fds=False)
        answers = [9, 16]
    else:
        with multiprocessing.get_context(way).Pool(2) as pool:
            answers = pool.map(job, (3, 4))
            pool.close()
            pool.join()
    ctx.log.info("after")
    return {"sum": sum(answers)}


if __name__ == "__main__":
    children.main()
