"""Ends in one of the ways in which code can go wrong."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any, Literal

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
    "group",
    "star",
    "thread-fail",
    "thread-text",
    "cause",
    "context",
    "note",
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
    if way in _THREADS:
        target, *arguments = _THREADS[way]
        threading.Thread(target=target, name="worker", args=arguments).start()
    if way == "recursion":
        _recurse()
    if way == "group":
        asyncio.run(_fail_in_a_group())
    if way in {"star", "cause", "context", "note"}:
        _fail_for_a_reason(way)
    if way in _ERRORS:
        raise _ERRORS[way]
    return {"password": "not given away"}


def _break() -> None:
    password = "hunter2-secret"
    raise RuntimeError(f"thread of {len(password)}")


def _recurse() -> None:
    _recurse()


def _fail() -> None:
    raise TaskFailed("the disk is full; free some space", exit_code=3)


async def _fail_in_a_group() -> None:
    async def fail() -> None:
        _fail()

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        group.create_task(asyncio.sleep(60))


def _fail_for_a_reason(way: str) -> None:
    failure = TaskFailed("the disk is full; free some space", exit_code=3)
    if way == "star":
        try:
            raise ExceptionGroup("several", [OSError("one")])
        except* OSError:
            raise failure  # noqa: B904
    try:
        Path("/nonexistent/licence-4711.txt").read_bytes()
    except OSError as error:
        if way == "context":
            sys.exit("no licence")
        if way == "cause":
            raise failure from error
        failure.add_note("look there")
    raise failure


_THREADS: dict[str, tuple[Any, ...]] = {
    "thread": (_break,),
    "thread-exit": (sys.exit,),
    "thread-fail": (_fail,),
    "thread-text": (sys.exit, "the thread says no"),
}
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
