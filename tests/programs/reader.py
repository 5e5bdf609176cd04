"""Tasks that read messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from epm_task import TaskContext, Topic, task


@dataclass
class Command:
    """What somebody wants."""

    number: int
    text: str = ""


COMMANDS = Topic("Commands/reader", payload=Command)
PLAIN: Topic[dict[str, Any]] = Topic("Commands/plain")
OTHER: Topic[dict[str, Any]] = Topic("Commands/other")


@task(subscribes=[COMMANDS, PLAIN], timeout_seconds=120)
def reader(
    ctx: TaskContext, *, count: int, crash_at: int = -1, idle: float | None = None
) -> dict[str, list[int]]:
    """Read so many commands."""
    messages = ctx.messages(COMMANDS, timeout_seconds=idle)
    ctx.log.info("reading")
    seen = []
    for command in messages:
        seen.append(command.number)
        ctx.log.info("command", number=command.number)
        if command.number == crash_at:
            raise RuntimeError("it shall crash")
        if len(seen) >= count:
            break
    return {"seen": seen}


@task(subscribes=[COMMANDS, PLAIN], timeout_seconds=120)
async def async_reader(
    ctx: TaskContext, *, count: int, idle: float | None = None
) -> dict[str, list[int]]:
    """Read so many commands in a coroutine."""
    messages = ctx.messages(PLAIN, timeout_seconds=idle)
    ctx.log.info("reading")
    seen: list[int] = []
    async for command in messages:
        seen.append(command["number"])
        if len(seen) >= count:
            break
    return {"seen": seen}


@task(subscribes=[COMMANDS], timeout_seconds=120)
def hoarder(ctx: TaskContext, *, until: str = "") -> None:
    """Ask for messages, and read none before there is a file."""
    import pathlib
    import time

    ctx.messages(COMMANDS)
    ctx.log.info("reading")
    while not pathlib.Path(until).exists():
        time.sleep(0.01)


@task(subscribes=[COMMANDS])
def undeclared(ctx: TaskContext) -> None:
    """Read a topic that the task does not declare."""
    ctx.messages(OTHER)


if __name__ == "__main__":
    reader.main()
