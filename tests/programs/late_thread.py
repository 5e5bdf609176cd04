"""Leaves a daemon thread behind that writes records until the process ends."""

from __future__ import annotations

import itertools
import os
import threading
import time

from epm_task import TaskContext, task


def _write_for_ever(ctx: TaskContext) -> None:
    for n in itertools.count():
        try:
            ctx.log.info("late", n=n)
            # Written after the call has returned: whatever is here was accepted.
            os.write(2, b"accepted %d\n" % n)
        except Exception as error:  # noqa: BLE001  # a log call must never raise
            os.write(2, b"raised %r\n" % error)


@task(job_id="key-scanner")
def late_thread(ctx: TaskContext) -> None:
    """Return while the thread still writes."""
    threading.Thread(target=_write_for_ever, args=(ctx,), daemon=True).start()
    time.sleep(0.05)


if __name__ == "__main__":
    late_thread.main()
