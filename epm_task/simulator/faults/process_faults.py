"""A run disturbance is a fault that the job runner shows on purpose to the process of a task.

Without root, and without another PID, no real file system can be filled for one process alone. The
nearest honest thing is the kernel's limit on file size, set to 0: each write to a regular file
fails with `EFBIG` in place of `ENOSPC`, while pipes and sockets work on. Only Linux can set it from
outside.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.processes.process import TaskProcess
    from epm_task.simulator.trace import Action


class RunDisturbance(Protocol):
    """What the job runner asks when it starts a task; each question is asked once per process."""

    def registration_delay(self, seconds: float) -> float:
        """Return the delay of the registration in place of *seconds*; `math.inf` is never."""

    def registration_lost_after(self) -> float | None:
        """Return after how many seconds the registration is forgotten, or None."""

    def terminate_after(self) -> float | None:
        """Return after how many seconds the process gets SIGTERM, or None."""

    def kill_after(self) -> float | None:
        """Return after how many seconds the process gets SIGKILL, or None."""

    def disk_full(self) -> bool:
        """Return whether the process finds no room on any disk."""


class UndisturbedRun:
    """Nothing happens to the process."""

    def registration_delay(self, seconds: float) -> float:
        """Keep the delay."""
        return seconds

    def registration_lost_after(self) -> float | None:
        """Never."""
        return None

    def terminate_after(self) -> float | None:
        """Never."""
        return None

    def kill_after(self) -> float | None:
        """Never."""
        return None

    def disk_full(self) -> bool:
        """There is room."""
        return False


class Notes(Protocol):
    """Whoever keeps the decisions of a run."""

    def __call__(self, action: Action, what: str, *, reason: str = "") -> None:
        """Keep one."""


def disturb(
    process: TaskProcess, faults: RunDisturbance, lose: Callable[[], None], note: Notes
) -> list[asyncio.TimerHandle]:
    """Let what *faults* say happen to a process that has just started.

    Args:
        process: The process.
        faults: What happens to it.
        lose: Forgets its registration.
        note: Is told of each fault.

    Returns:
        The timers of what happens later, to be cancelled when the process has ended.
    """
    if faults.disk_full():
        note("fault", "fault: disk full", reason=apply(process.pid))
    wanted = (
        ("registration lost", faults.registration_lost_after(), lose),
        ("SIGTERM", faults.terminate_after(), process.ask_to_stop),
        ("SIGKILL", faults.kill_after(), process.kill),
    )
    timers = []
    for name, seconds, action in wanted:
        if seconds is not None:
            note("fault", f"fault: {name} after {seconds} s")
            timers.append(asyncio.get_running_loop().call_later(seconds, action))
    return timers


def apply(pid: int) -> str:
    """Let every further write to a regular file by *pid* fail; return what was done, or why not."""
    if sys.platform != "linux":
        return "not done: only Linux can limit the file size of another process"
    import resource  # noqa: PLC0415 - the module does not exist on Windows

    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
    except OSError as error:
        return f"not done: {error}"
    return "the limit on file size is 0 bytes: writes fail with EFBIG, as they would with ENOSPC"
