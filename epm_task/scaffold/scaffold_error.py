"""A scaffold error says why a project cannot be made or upgraded."""

from __future__ import annotations


class ScaffoldError(Exception):
    """Nothing was made or changed.

    Args:
        sentence: What happened and why.
        fix: What to do.
    """

    def __init__(self, sentence: str, fix: str) -> None:
        super().__init__(sentence)
        self.fix = fix
