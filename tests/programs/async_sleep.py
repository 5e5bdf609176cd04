"""A coroutine function as the handler."""

from __future__ import annotations

import asyncio
from typing import Literal

from epm_task import TaskContext, task


@task(job_id="key-scanner")
async def async_sleep(
    ctx: TaskContext, *, way: Literal["sleep", "obey", "return", "cancel"] = "sleep"
) -> dict[str, str]:
    """Sleep in one of the ways a coroutine can."""
    ctx.log.info("started")
    print("handler-started", flush=True)
    try:
        if way == "obey":
            await asyncio.to_thread(ctx.stopping.wait, 60)
        elif way == "sleep":
            await asyncio.sleep(60)
        elif way == "cancel":
            raise asyncio.CancelledError
    finally:
        ctx.log.info("unwound")
    return {"way": way}


if __name__ == "__main__":
    async_sleep.main()
