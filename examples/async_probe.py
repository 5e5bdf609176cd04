"""Probe several ports at once with a coroutine function."""

import asyncio

from epm_task import TaskContext, task


async def is_open(host: str, port: int) -> bool:
    """Tell whether something listens there."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), timeout=1)
    except (OSError, TimeoutError):
        return False
    writer.close()
    await writer.wait_closed()
    return True


@task(timeout_seconds=60)
async def async_probe(
    ctx: TaskContext, *, host: str = "127.0.0.1", port: list[int] | None = None
) -> dict[str, list[int]]:
    """Report which of the given PORTs of HOST are open."""
    ports = port or [22, 80, 443]
    answers = await asyncio.gather(*(is_open(host, number) for number in ports))
    found = [number for number, answer in zip(ports, answers, strict=True) if answer]
    ctx.log.info("probe_finished", host=host, asked=len(ports), open=len(found))
    return {"open": found}


if __name__ == "__main__":
    async_probe.main()
