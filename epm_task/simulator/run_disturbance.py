"""A run disturbance is a fault that the job runner shows on purpose to the process of a task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from epm_task.simulator import disk_full

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.process import TaskProcess


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

    def __call__(self, what: str, *, reason: str = "") -> None:
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
        note("fault: disk full", reason=disk_full.apply(process.pid))
    wanted = (
        ("registration lost", faults.registration_lost_after(), lose),
        ("SIGTERM", faults.terminate_after(), process.ask_to_stop),
        ("SIGKILL", faults.kill_after(), process.kill),
    )
    timers = []
    for name, seconds, action in wanted:
        if seconds is not None:
            note(f"fault: {name} after {seconds} s")
            timers.append(asyncio.get_running_loop().call_later(seconds, action))
    return timers
