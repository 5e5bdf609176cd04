"""A task that uses processes in the given way, and asks for metadata of libraries."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Literal

from epm_task import TaskContext, task

LIBRARIES = ("httpx", "paho-mqtt", "epm-task")


def square(number: int) -> int:
    """Be loud on every stream, as a worker may."""
    print(f"worker of {number}", flush=True)
    os.write(1, b"worker on descriptor 1\n")
    return number * number


def put(queue: multiprocessing.Queue[int], number: int) -> None:
    """Answer through a queue."""
    queue.put(square(number))


@task(timeout_seconds=60)
def workers(
    ctx: TaskContext, *, method: Literal["spawn", "forkserver"], how: str = "executor"
) -> dict[str, object]:
    """Square numbers in other processes."""
    context: Any = multiprocessing.get_context(method)
    found: list[int] = []
    if how == "executor":
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            found = list(executor.map(square, [2, 3]))
    elif how == "pool":
        with context.Pool(2) as pool:
            found = pool.map(square, [2, 3])
    else:
        with context.Manager() as manager:
            shared = manager.list([0])
            queue: multiprocessing.Queue[int] = context.Queue()
            process = context.Process(target=put, args=(queue, 2))
            process.start()
            shared.append(queue.get(timeout=60))
            process.join()
            memory: Any = SharedMemory(create=True, size=8)
            memory.buf[0] = 9
            found = [shared[1], memory.buf[0]]
            memory.close()
            memory.unlink()
    ctx.log.info("squared", found=found)
    libraries = {}
    for name in LIBRARIES:
        known = importlib.metadata.distribution(name)
        libraries[name] = [known.version, str(known.locate_file(""))]
    return {"squares": found, "frozen": hasattr(sys, "frozen"), "libraries": libraries}


if __name__ == "__main__":
    workers.main()
