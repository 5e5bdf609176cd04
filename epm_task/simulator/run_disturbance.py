"""A run disturbance is a fault that the job runner shows on purpose to the process of a task."""

from __future__ import annotations

from typing import Protocol


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
