"""Goes on until it is stopped, in one of the ways in which a handler can take a stop."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import Literal

from epm_task import DeadlineExceeded, TaskContext, task


@task(job_id="key-scanner")
def stubborn(  # one branch for each way
    ctx: TaskContext,
    *,
    way: Literal["obey", "sleep", "swallow", "deaf", "spin", "hash", "thread", "lock", "raise"],
) -> dict[str, object]:
    """Say that the handler has started, then take the stop in this WAY."""
    ctx.log.info("started", remaining=ctx.remaining())
    if way in {"obey", "raise"}:
        ctx.stopping.is_set()  # before anybody sends a signal, so that it is obeyed for certain
    if way not in {"swallow", "deaf", "hash"}:
        _say_started()
    if way == "obey":
        ctx.stopping.wait(60)
        ctx.log.info("obeyed", remaining=ctx.remaining())
    elif way in {"swallow", "deaf"}:
        _swallow(ctx if way == "deaf" else None)
    elif way == "spin":
        time.sleep(0.1)  # what was logged in the last 50 ms could not be sent any more
        sum(range(10**11))
    elif way == "hash":
        threading.Timer(0.2, _say_started).start()  # once the hash is being made
        hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2**31 - 1)
    elif way == "lock":
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
    elif way == "thread":
        threading.Thread(target=time.sleep, args=(60,), name="sleeper").start()
    elif way == "raise":
        ctx.stopping.wait(60)
        raise DeadlineExceeded
    else:
        time.sleep(60)
    return {"way": way}


def _say_started() -> None:
    print("handler-started", flush=True)


def _swallow(ctx: TaskContext | None) -> None:
    while True:
        try:
            if ctx is not None:
                ctx.stopping.is_set()
            _say_started()  # here, so that a stop is swallowed for certain
            time.sleep(60)
        except BaseException:  # noqa: BLE001  # the worst that an author can write
            pass


if __name__ == "__main__":
    stubborn.main()
