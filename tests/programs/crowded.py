"""Writes records, or publishes, until the outbox is full; a signal comes while one call waits."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Literal

from epm_task import TaskContext, Topic, task

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
    if os.name == "nt":  # where `os.kill` ends the process
        signal.raise_signal(signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
    print(f"waiting {current[0]}", flush=True)


TOPIC: Topic[dict[str, object]] = Topic("Jobs/key-scanner/crowd")


@task(job_id="key-scanner", publishes=[TOPIC])
def crowded(ctx: TaskContext, *, way: Literal["record", "publish"]) -> None:
    """Write records, or publish, for ever."""
    current = [0]
    threading.Thread(target=_signal_then, args=(current,), daemon=True).start()
    for n in itertools.count():
        current[0] = n
        if way == "record":
            ctx.log.info("record", n=n, text="x" * 100_000)
        else:
            ctx.publish(TOPIC, {"n": n, "text": "x" * 100_000})


if __name__ == "__main__":
    crowded.main()
