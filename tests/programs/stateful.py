"""Tasks that keep something between their runs."""

from __future__ import annotations

import os
import time
from pathlib import Path  # noqa: TC003  # of a parameter
from typing import ClassVar, Literal

from pydantic import BaseModel

from epm_task import TaskContext, TaskFailed, task


class Seen(BaseModel):
    """What was seen so far."""

    state_version: ClassVar[int] = 2
    names: list[str] = []
    runs: int = 0

    @classmethod
    def migrate(cls, values: dict[str, object], version: int) -> dict[str, object]:
        """Version 1 had one text."""
        if version != 1:
            raise ValueError(f"no version {version} was ever deployed")
        return {"names": str(values["names"]).split(","), "runs": 7}


@task(broker="optional", timeout_seconds=60)
def counter(
    ctx: TaskContext, *, end: Literal["return", "fail", "crash", "saved", "big", "odd"] = "return"
) -> dict[str, object]:
    """Count the runs."""
    ctx.state["runs"] = ctx.state.get("runs", 0) + 1
    ctx.state.setdefault("ends", []).append(end)
    if end == "saved":
        ctx.state.save()
    if end in {"fail", "saved"}:
        raise TaskFailed("it shall fail")
    if end == "crash":
        raise RuntimeError("it shall crash")
    if end == "big":
        ctx.state["big"] = "x" * 1024 * 1024
    if end == "odd":
        ctx.state["odd"] = object()
    return {"runs": ctx.state["runs"], "ends": ctx.state["ends"]}


@task(broker="optional", timeout_seconds=60)
def typed(ctx: TaskContext, state: Seen, *, name: str = "") -> dict[str, object]:
    """Add a name."""
    state.runs += 1
    if name:
        state.names.append(name)
    if name == "saved":
        ctx.state.save()
        state.names.append("not kept")
        raise TaskFailed("it shall fail")
    return {"names": list(state.names), "runs": state.runs}


@task(broker="optional", timeout_seconds=60)
def full_disk(ctx: TaskContext) -> None:
    """Write the state when the system has no room for it."""
    import resource  # POSIX

    ctx.state["text"] = "x" * 5000
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


@task(broker="optional", timeout_seconds=60)
def untouched(ctx: TaskContext) -> None:
    """Use no state."""
    ctx.log.info("here", pid=os.getpid())


@task(overlap="skip", timeout_seconds=60)
def one_of_them(ctx: TaskContext, *, until: Path | None = None) -> dict[str, int]:
    """Wait for a file, if any."""
    ctx.log.info("begun")
    while until and not until.exists():
        time.sleep(0.01)
    return {"pid": os.getpid()}


@task(overlap="wait", timeout_seconds=60)
def one_after_another(ctx: TaskContext, *, until: Path | None = None) -> dict[str, int]:
    """Wait for a file, if any."""
    ctx.log.info("begun")
    while until and not until.exists():
        time.sleep(0.01)
    return {"pid": os.getpid()}


@task(spread_minutes=30, every_minutes=60, timeout_seconds=60, mirror="information")
def spread_out(ctx: TaskContext) -> None:
    """Say that it has begun."""
    ctx.log.info("begun", remaining=ctx.remaining())


if __name__ == "__main__":
    counter.main()
