"""A backoff is the row of waits between tries: short at first, longer later, never in step."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Growing by 1.6 finds a registration late by at most 60 % of what has passed.
_GROWTH = 1.6


def waits(first_seconds: float, cap_seconds: float) -> Iterator[float]:
    """Yield the seconds to wait before each next try, without end.

    The first wait is exact, because the common case is a registration that is a moment late; each
    later one is jittered down to half, so that the tasks of one agent do not retry in step.
    """
    yield first_seconds
    seconds = first_seconds
    while True:
        seconds = min(seconds * _GROWTH, cap_seconds)
        yield seconds * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, hides nothing
