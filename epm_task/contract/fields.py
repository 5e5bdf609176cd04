"""Check the fields of an object that was read from a file, before anything is done with it.

What is missing, unknown, of another type or out of bounds is refused in one sentence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.contract.json_text import BadJson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Larger numbers are a mistake, wherever they are.
_MAX: Final = 2**53
_MAX_TEXT: Final = 65_535
#: Of a file or a folder directly in its folder: not `.` or `..`, and nothing that leads elsewhere.
FILE_NAME: Final = r"(?!\.\.?(?:/|$))[^/\\\x00-\x1f]{1,255}"
#: Of a file somewhere below a folder, with `/` on every system.
FILE_BELOW: Final = f"{FILE_NAME}(?:/{FILE_NAME})*"
DIGEST: Final = r"[0-9a-f]{64}"


class Field(NamedTuple):
    """Whether a value fits, what is wanted in plain words, and whether the field is required."""

    fits: Callable[[Any], bool]
    wanted: str
    required: bool = True

    def or_absent(self) -> Field:
        """Return the field as one that may be left out."""
        return self._replace(required=False)

    def or_null(self) -> Field:
        """Return the field as one that may be null."""
        return Field(lambda v: v is None or self.fits(v), f"{self.wanted} or null", self.required)


def check_fields(document: Any, fields: Mapping[str, Field], *, others: bool = False) -> None:
    """Refuse an object with a field that is missing, wrong, or, without *others*, unknown.

    Raises:
        BadJson: It is not like that; the value itself is not shown.
    """
    if not isinstance(document, dict):
        raise BadJson("it is not an object")
    for name, field in fields.items():
        if name not in document:
            if field.required:
                raise BadJson(f"the field {name!r} is missing", pointer=name)
        elif not field.fits(document[name]):
            raise BadJson(f"the field {name!r} must be {field.wanted}", pointer=name)
    if not others and (unknown := sorted(document.keys() - fields.keys())):
        raise BadJson(f"the field {unknown[0][:40]!r} is not known", pointer=unknown[0])


def text(pattern: str = r"(?s).*", wanted: str = "text") -> Field:
    """Return a field for text that is *pattern* as a whole, has a UTF-8 form and a sane length."""

    def fits(value: Any) -> bool:
        return (
            isinstance(value, str)
            and len(value) <= _MAX_TEXT
            and not re.search(r"[\ud800-\udfff]", value)
            and re.fullmatch(pattern, value) is not None
        )

    return Field(fits, wanted)


def whole(low: int = 0, high: int = _MAX) -> Field:
    """Return a field for a whole number in bounds."""
    wanted = f"a whole number from {low}" + (f" to {high}" if high < _MAX else "")
    return Field(lambda v: _is_whole(v) and low <= v <= high, wanted)


def number(low: float = 0, high: float = _MAX) -> Field:
    """Return a field for a finite number in bounds."""
    wanted = f"a number from {low}" + (f" to {high:g}" if high < _MAX else "")
    return Field(lambda v: (_is_whole(v) or isinstance(v, float)) and low <= v <= high, wanted)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def choice(*values: object) -> Field:
    """Return a field for one of some values, of exactly its type."""
    wanted = "one of " + ", ".join(map(repr, values)) if len(values) > 1 else repr(values[0])
    return Field(lambda v: any(type(v) is type(one) and v == one for one in values), wanted)


def flag() -> Field:
    """Return a field for true or false."""
    return Field(lambda v: isinstance(v, bool), "true or false")


def anything() -> Field:
    """Return a field for any JSON value."""
    return Field(lambda _: True, "any value")


def either(*fields: Field) -> Field:
    """Return a field for what one of the fields allows."""
    wanted = " or ".join(field.wanted for field in fields)
    return Field(lambda v: any(field.fits(v) for field in fields), wanted)


def list_of(field: Field) -> Field:
    """Return a field for an array of such values."""
    wanted = f"a list, each {field.wanted}"
    return Field(lambda v: isinstance(v, list) and all(map(field.fits, v)), wanted)


def table_of(pattern: str, field: Field) -> Field:
    """Return a field for an object whose names are *pattern*, with such values."""
    name = text(pattern)
    return Field(
        lambda v: isinstance(v, dict) and all(name.fits(k) and field.fits(e) for k, e in v.items()),
        f"a table, each {field.wanted}",
    )


def record(fields: Mapping[str, Field], *, others: bool = False) -> Field:
    """Return a field for an object with these fields."""

    def fits(value: Any) -> bool:
        try:
            check_fields(value, fields, others=others)
        except BadJson:
            return False
        return True

    return Field(fits, f"an object with {', '.join(fields)}")
