"""The levels of records, in the words of the agent, and what each counts for."""

from __future__ import annotations

from typing import Final, Literal, get_args

#: From the least to the most serious; `off` is above them all, and no record has it.
LogLevel = Literal["trace", "debug", "information", "warning", "error", "critical"]
Threshold = Literal[LogLevel, "off"]

#: Numbers are those of the standard library's `logging`, which has no trace and no off.
TRACE: Final = 5
DEBUG: Final = 10
INFORMATION: Final = 20
WARNING: Final = 30
ERROR: Final = 40
CRITICAL: Final = 50
OFF: Final = 100

NUMBERS: Final[dict[str, int]] = dict(
    zip(
        get_args(Threshold), (TRACE, DEBUG, INFORMATION, WARNING, ERROR, CRITICAL, OFF), strict=True
    )
)
_WORDS: Final = {number: word.capitalize() for word, number in NUMBERS.items() if number != OFF}


def word_for(number: int) -> str:
    """Return the agent's word for a level of `logging`, the next lower one for those in between."""
    word = _WORDS.get(number)
    if word is None:
        below = [known for known in _WORDS if known <= number]
        word = _WORDS[max(below, default=TRACE)]
    return word
