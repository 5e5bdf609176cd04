"""A level says how much a record matters, in the words that the agent uses."""

from __future__ import annotations

from typing import Final

#: Numbers are those of the standard library's `logging`, which has no trace and no off.
TRACE: Final = 5
DEBUG: Final = 10
INFORMATION: Final = 20
WARNING: Final = 30
ERROR: Final = 40
CRITICAL: Final = 50
OFF: Final = 100

NUMBERS: Final = {
    "trace": TRACE,
    "debug": DEBUG,
    "information": INFORMATION,
    "warning": WARNING,
    "error": ERROR,
    "critical": CRITICAL,
    "off": OFF,
}
_WORDS: Final = {number: word.capitalize() for word, number in NUMBERS.items() if number != OFF}


def word_for(number: int) -> str:
    """Return the agent's word for a level of `logging`, the next lower one for those in between."""
    word = _WORDS.get(number)
    if word is None:
        below = [known for known in _WORDS if known <= number]
        word = _WORDS[max(below, default=TRACE)]
    return word
