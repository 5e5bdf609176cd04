"""Tasks that start other programs."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path  # noqa: TC003  # of a parameter

from epm_task import TaskContext, task


@task(timeout_seconds=60)
def parent(ctx: TaskContext, *, code: str, timeout: float | None = None) -> dict[str, int]:
    """Run Python with this code."""
    found = ctx.run([sys.executable, "-c", code], timeout=timeout)
    return {"exit": found.exit_code}


@task(timeout_seconds=60)
def in_a_thread(ctx: TaskContext, *, code: str, mark: Path) -> None:
    """Leave a thread behind that runs Python with this code."""

    def run() -> None:
        """Run it."""
        ctx.run([sys.executable, "-c", code], check=False)

    threading.Thread(target=run, daemon=True).start()
    while not mark.exists():
        time.sleep(0.01)


@task(timeout_seconds=60)
async def in_a_coroutine(ctx: TaskContext, *, code: str) -> dict[str, str]:
    """Run Python with this code."""
    found = await ctx.run_async([sys.executable, "-c", code], capture=True)
    return {"stdout": found.stdout}


if __name__ == "__main__":
    parent.main()
