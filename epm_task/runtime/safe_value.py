"""A safe value is any Python value in a form that JSON can carry, made without ever raising."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time, timedelta
from enum import Enum
from typing import Any, Final

#: Bounds that keep a hostile value from costing more than the record's own limit.
_MAX_DEPTH: Final = 8
_MAX_ITEMS: Final = 200
#: As many as a record has: what is cut here is cut again, once its secrets are masked.
_MAX_CHARACTERS: Final = 128 * 1024

_FORMS: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    ((date, time), lambda value: value.isoformat()),  # datetime is a date
    (timedelta, timedelta.total_seconds),
    (Enum, lambda value: value.value),
    (Mapping, dict),
    ((set, frozenset, tuple, list), list),
    ((bytes, bytearray), lambda value: value[:_MAX_CHARACTERS].decode("utf-8", "backslashreplace")),
)


def safe_text(value: object) -> str:
    """Return `str(value)` without lone surrogates; what cannot be shown is named by its type."""
    try:
        text = value if type(value) is str else str(value)
        # UTF-16 joins the surrogates that belong together; the others become U+FFFD.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    except Exception:  # noqa: BLE001  # the author's __str__ may do anything
        return f"<{_type_name(value)} that cannot be shown>"


def shallow_value(value: object) -> Any:
    """Return the JSON form of one value that `json` does not know; its parts may need the same.

    Secrets show themselves as asterisks, because their `str` does.
    """
    for kinds, form in _FORMS:
        if isinstance(value, kinds):
            return form(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json")
    return safe_text(value)


def safe_value(value: object, depth: int = 0) -> Any:
    """Return a copy of *value* that JSON can carry: bounded in depth, width and length."""
    try:
        return _safe(value, depth)
    except Exception:  # noqa: BLE001  # the author's objects may do anything
        return f"<{_type_name(value)} that cannot be shown>"


def _safe(value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return _safe_scalar(value)
    if depth >= _MAX_DEPTH:
        return f"<{_type_name(value)}, nested too deeply>"
    if isinstance(value, Mapping):
        return _safe_mapping(value, depth)
    if isinstance(value, list | tuple | set | frozenset):
        return _safe_items(value, depth)
    return safe_value(shallow_value(value), depth + 1)


def _safe_scalar(value: object) -> Any:
    if isinstance(value, str):
        return safe_text(str(value)[:_MAX_CHARACTERS])
    if isinstance(value, float) and value - value != 0:  # NaN and the infinities
        return str(value)
    too_long = isinstance(value, int) and abs(value) >= 1 << 63  # .NET's numbers end there
    return safe_text(value) if too_long else value


def _safe_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        if len(found) >= _MAX_ITEMS:
            found["…"] = f"{len(value) - _MAX_ITEMS} more"
            break
        found[safe_text(key)] = safe_value(item, depth + 1)
    return found


def _safe_items(value: Iterable[Any], depth: int) -> list[Any]:
    found: list[Any] = []
    for item in value:
        if len(found) >= _MAX_ITEMS:
            found.append("…")
            break
        found.append(safe_value(item, depth + 1))
    return found


def _type_name(value: object) -> str:
    # Not `type(value).__name__`: a metaclass of the author's may do anything too.
    name: str = type.__dict__["__name__"].__get__(type(value))
    return name
