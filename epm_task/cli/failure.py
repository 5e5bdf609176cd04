"""A failure ends a verb with one sentence: what happened, why, what to do."""

from __future__ import annotations

#: What people and scripts know from other tools: 1 the answer is no, 2 the question was wrong.
FAILED = 1
WRONG_USE = 2


class Failure(Exception):
    """A verb cannot go on.

    Args:
        sentence: What happened and why.
        fix: What to do.
        exit_code: 1 when the answer is no, 2 when the command was wrong.
    """

    def __init__(self, sentence: str, fix: str, *, exit_code: int = WRONG_USE) -> None:
        super().__init__(f"{sentence}; {fix}")
        self.exit_code = exit_code
