"""An exact number is a number that keeps the digits with which it was written."""

from __future__ import annotations

import math
from typing import Final, Self

#: Python refuses to convert longer ones, because that takes quadratic time.
_MAX_DIGITS: Final = 4300


class ExactNumber(float):
    """A float with its text, so that 1.10 stays 1.10 when a document is written again."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Read the text; one that no float can hold is refused.

        Raises:
            ValueError: It is beyond the range of a float.
        """
        number = float.__new__(cls, text)
        if math.isinf(number):
            raise ValueError(f"the number {text[:20]} is too large")
        number.text = text
        return number


def read_number(text: str) -> int | ExactNumber:
    """Return the number that JSON writes as *text*.

    Raises:
        ValueError: It is too large, or has too many digits.
    """
    if text == "-0" or any(character in text for character in ".eE"):
        return ExactNumber(text)
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"the number {text[:20]}… has too many digits")
    return int(text)
