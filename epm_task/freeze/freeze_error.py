"""A freeze error says why no program was built: what happened, why, what to do."""

from __future__ import annotations


class FreezeError(Exception):
    """No program was built, or a built one cannot be examined.

    Args:
        what: What happened, and why.
        fix: What to do.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}; {fix}")
        self.what = what
        self.fix = fix
