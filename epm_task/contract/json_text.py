"""JSON text is what arrives from a file or a client, and may not be JSON at all."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn, Self


class BadJson(ValueError):
    """A text that is no JSON, with the place where that shows.

    Attributes:
        line: The line, counted from 1.
        why: The reason.
    """

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


def parse_json(data: bytes) -> Any:
    """Return the value that *data* holds: UTF-8, with or without a byte order mark.

    Raises:
        BadJson: It is no UTF-8, no JSON, nested too deeply, or holds a number that JSON has not.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadJson(data.count(b"\n", 0, error.start) + 1, "this is not UTF-8") from error
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise BadJson(error.lineno, f"{error.msg} (column {error.colno})") from error
    except RecursionError as error:
        raise BadJson(1, "it is nested too deeply") from error
    except ValueError as error:
        raise BadJson(1, str(error)) from error


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that *data* holds.

    Raises:
        BadJson: As `parse_json`, or the value is no object.
    """
    value = parse_json(data)
    if not isinstance(value, dict):
        raise BadJson(1, "a JSON object is needed, in braces")
    return value


def write_json(value: object) -> bytes:
    """Return *value* as readable JSON in UTF-8, with a newline at the end."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    # A lone surrogate has no UTF-8; its backslash form is the JSON escape that it came from.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        _refuse(text[:40])
    return number


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
