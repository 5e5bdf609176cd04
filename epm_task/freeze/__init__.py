"""Make an executable of a task, in the layout of the agent, and verify it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.errors import EpmTaskError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    #: Is told how far something is: how much is done, of how much, and what it is.
    Tell: TypeAlias = Callable[[int, int, str], None]


class FreezeError(EpmTaskError):
    """No program was built, or a built one cannot be examined."""


def tell_nobody(done: int, total: int, text: str) -> None:
    """Be told how far something is, and do nothing."""
