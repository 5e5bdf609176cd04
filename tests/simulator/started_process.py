"""A started process is one of the simulator, with its captured outputs; the test looks after it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from peers.patience import PATIENCE
from peers.wine import WINE

from epm_task.simulator.processes.process import Capture, TaskProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

#: With what a process ends that was killed; that was asked to stop, and has no answer of its own;
#: and a task that was asked. Wine sends no CTRL_BREAK: there each of them is killed.
if os.name == "nt":
    KILLED, STOPPED, TASK_STOPPED = 137, {0xC000013A, 137}, 137 if WINE else 149
else:
    KILLED, STOPPED, TASK_STOPPED = -signal.SIGKILL, {-signal.SIGTERM}, 143


def with_process(
    argv: list[str], body: Callable[[TaskProcess], Awaitable[object]], folder: Path
) -> tuple[Capture, Capture]:
    """Start *argv*, await *body*, close; return what was captured."""

    async def main() -> tuple[Capture, Capture]:
        captures = Capture(), Capture()
        run_id = f"{folder.name}-{os.getpid()}"
        process = await TaskProcess.start(
            argv, env=dict(os.environ), cwd=folder, captures=captures, run_id=run_id
        )
        try:
            await body(process)
        finally:
            await process.end(0.1)
            await process.exited()
            await process.close()
        assert await process.members() == []
        return captures

    return asyncio.run(main())


def python(script: str, *arguments: str) -> list[str]:
    """Return the command that runs a script of Python, the modules that all of them need imported.

    The process itself runs it: in a virtual environment of Windows, a child of `python.exe` would.
    """
    program = getattr(sys, "_base_executable", sys.executable)
    imports = "import os, pathlib, signal, subprocess, sys, time"
    return [program, "-S", "-c", f"{imports}\n{script}", *arguments]


async def until_there(path: Path) -> None:
    """Wait until a file exists."""
    deadline = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(path.exists):
        assert time.monotonic() < deadline, f"{path} did not appear"
        await asyncio.sleep(0.005)
