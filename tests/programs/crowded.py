"""Writes records until the outbox is full; a signal comes while one waits for room."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from epm_task import TaskContext, task

if TYPE_CHECKING:
    from types import FrameType


def _waits_for_room() -> bool:
    frame: FrameType | None = sys._current_frames()[threading.main_thread().ident or 0]
    names = set()
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return {"offer", "wait"} <= names


def _signal_then(current: list[int]) -> None:
    while not _waits_for_room():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGTERM)
    print(f"waiting {current[0]}", flush=True)


@task(job_id="key-scanner")
def crowded(ctx: TaskContext) -> None:
    """Write records for ever."""
    current = [0]
    threading.Thread(target=_signal_then, args=(current,), daemon=True).start()
    for n in itertools.count():
        current[0] = n
        ctx.log.info("record", n=n, text="x" * 100_000)


if __name__ == "__main__":
    crowded.main()
