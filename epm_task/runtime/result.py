"""Say which form a value has in JSON: in the result, on the task's topics, and in records.

What has no form is refused in a result and a publication; `log.encoder` writes a text in its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from enum import Enum
from typing import Any, Final

from epm_task.contract.json_text import MAX_DEPTH

#: Modules whose values are written as their text; known by name, because few tasks load them.
_TEXTS: Final = {
    *("decimal", "uuid", "ipaddress", "zoneinfo", "pydantic.networks"),
    *("pathlib", "pathlib._local"),  # the second in Python 3.13
}
_FORMS: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    (Enum, lambda value: value.value),
    ((date, time), lambda value: value.isoformat()),  # datetime is a date
    (timedelta, timedelta.total_seconds),
    (Mapping, dict),
    (AbstractSet, lambda value: sorted(value, key=str)),
    ((bytes, bytearray), lambda value: value.decode("utf-8", "backslashreplace")),
    (memoryview, bytes),
    ((Sequence, ValuesView), list),
    (re.Pattern, lambda value: value.pattern),
)


class NoForm(TypeError):
    """A value has no JSON form; it is named by its type alone."""


def encode_object(value: object) -> bytes:
    """Return a mapping, dataclass or pydantic model as one line of JSON, without the line end.

    Raises:
        ValueError: It is another kind of value, or holds one that has no JSON form; the message
            says where, `/findings/3/when: object`, and why. Secrets have none, on purpose.
    """
    plain = _plain(value, "", 1)
    if not isinstance(plain, dict):
        raise ValueError(f"a {type(value).__name__} is not an object")
    try:
        text = json.dumps(plain, allow_nan=False, separators=(",", ":"))
    except ValueError:  # beyond the digits that Python writes
        raise ValueError("a number in it has too many digits") from None
    return text.encode("ascii")


def form_of(value: object) -> Any:
    """Return the JSON form of one value that `json` does not know; its parts may need the same.

    Raises:
        NoForm: It has none.
    """
    for kinds, form in _FORMS:
        if isinstance(value, kinds):
            return form(value)
    if any(kind.__module__ in _TEXTS for kind in type(value).__mro__):
        return str(value)
    if (fields := dataclass_fields(value)) is not None:
        return fields
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json")
    raise NoForm(f"{type(value).__name__} has no JSON form")


def first_misfit(error: Any) -> str:
    """Return where pydantic's error is and why, for the first of its parts; no value is shown."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def key_of(key: object) -> str:
    """Return the name that JSON has for a key: that of the key's form.

    Raises:
        NoForm: It has none.
    """
    if isinstance(key, Enum) or not (key is None or isinstance(key, str | int | float)):
        form = form_of(key)
        if not isinstance(form, str | int | float):
            raise NoForm(f"a key that is a {type(key).__name__} has no JSON form")
        return key_of(form)
    return key if isinstance(key, str) else json.dumps(key)


def whole_text(text: str) -> str:
    """Return the text without lone surrogates, which are valid for Python's JSON only."""
    if text.isascii():
        return text
    # UTF-16 joins the surrogates that belong together; the others become U+FFFD.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def dataclass_fields(value: object) -> dict[str, Any] | None:
    """Return the fields of a dataclass by name, None for any other value."""
    if isinstance(value, type) or not hasattr(type(value), "__dataclass_fields__"):
        return None
    from dataclasses import fields  # noqa: PLC0415  # whoever made one has loaded this

    return {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]


def _plain(value: object, place: str, depth: int) -> Any:
    """Return a copy that JSON can carry, and every reader can read."""
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, Enum)):
        if isinstance(value, float) and value - value != 0:
            raise ValueError(f"{place}: {value} is no number in JSON")
        return whole_text(value) if isinstance(value, str) else value
    if depth > MAX_DEPTH:
        raise ValueError(f"{place[:80]}…: it is nested too deeply: more than {MAX_DEPTH} levels")
    if type(value) is list or type(value) is tuple:
        return [_plain(part, f"{place}/{at}", depth + 1) for at, part in enumerate(value)]
    if type(value) is dict:
        return _plain_dict(value, place, depth)
    try:
        form = form_of(value)
    except NoForm as error:
        raise ValueError(f"{place or 'it'}: {error}") from None
    except Exception as error:  # noqa: BLE001  # the author's objects may do anything
        why = f"its {type(value).__name__} raised {type(error).__name__}"
        raise ValueError(f"{place or 'it'}: {why}") from None
    # A form takes no level of its own, but must end: the form of a value may be like it.
    return _plain(form, place, depth if type(form) in {dict, list} else depth + 1)


def _plain_dict(value: dict[Any, Any], place: str, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, part in value.items():
        try:
            name = whole_text(key_of(key))
        except NoForm as error:
            raise ValueError(f"{place or 'it'}: {error}") from None
        if name in found:
            raise ValueError(f"{place or 'it'}: two keys are written as {name[:40]!r}")
        found[name] = _plain(part, f"{place}/{name[:40]}", depth + 1)
    return found
