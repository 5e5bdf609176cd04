"""The job document: made from tasks, parsed with places, checked by rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from epm_task.job.job import Job

__all__ = ["Job"]


def __getattr__(name: str) -> object:
    """Import `Job` when it is first used; the simulator needs only single modules."""
    if name != "Job":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from epm_task.job.job import Job  # noqa: PLC0415

    return Job
