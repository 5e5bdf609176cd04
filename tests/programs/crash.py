"""Ends in one of the ways in which code can go wrong."""

from __future__ import annotations

import os
import sys
import threading
from typing import Literal

from epm_task import TaskContext, TaskFailed, TemporaryFailure, task

Way = Literal[
    "raise",
    "fail",
    "later",
    "os-exit",
    "thread",
    "thread-exit",
    "memory",
    "recursion",
    "generator",
    "odd",
    "interrupt",
]


class _Odd(BaseException):
    """An exception that no `except Exception` sees."""


@task(job_id="key-scanner")
def crash(ctx: TaskContext, *, way: Way | None = None, code: str = "") -> dict[str, str]:
    """End in this WAY, or by `sys.exit(CODE)`, CODE being Python."""
    password = "hunter2-secret"
    ctx.log.info("started", length=len(password))
    if code:
        sys.exit(eval(code))
    if way == "os-exit":
        os._exit(9)
    if way == "thread":
        threading.Thread(target=_break, name="worker", args=(password,)).start()
    if way == "thread-exit":
        threading.Thread(target=sys.exit).start()
    if way == "recursion":
        _recurse()
    if way in _ERRORS:
        raise _ERRORS[way]
    return {"password": "not given away"}


def _break(password: str) -> None:
    raise RuntimeError(f"thread of {len(password)}")


def _recurse() -> None:
    _recurse()


_ERRORS: dict[str, BaseException] = {
    "raise": RuntimeError("raised by the handler"),
    "fail": TaskFailed("the disk is full; free some space", exit_code=3),
    "later": TemporaryFailure("another run holds the lock"),
    "memory": MemoryError(),
    "generator": GeneratorExit(),
    "odd": _Odd(),
    "interrupt": KeyboardInterrupt(),
}
if __name__ == "__main__":
    crash.main()
