"""Make an executable of a task, in the layout of the agent, and verify it."""

from __future__ import annotations

from epm_task.errors import EpmTaskError


class FreezeError(EpmTaskError):
    """No program was built, or a built one cannot be examined."""
