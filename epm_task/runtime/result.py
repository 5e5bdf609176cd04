"""Write the JSON objects in which values leave a task: on stdout, and on its topics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any


def encode_object(value: object) -> bytes:
    """Return a mapping, dataclass or pydantic model as one line of JSON, without the line end.

    Raises:
        ValueError: It is another kind of value, or holds one that has no JSON form; the message is
            the reason. Secrets have none, on purpose.
    """
    plain = _plain_object(value)
    try:
        text = json.dumps(plain, default=_plain, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from None
    return text.encode("ascii")


def dataclass_fields(value: object) -> dict[str, Any] | None:
    """Return the fields of a dataclass by name, None for any other value."""
    if isinstance(value, type) or not hasattr(type(value), "__dataclass_fields__"):
        return None
    from dataclasses import fields  # noqa: PLC0415  # whoever made one has loaded this

    return {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]


def _plain_object(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if (fields := dataclass_fields(value)) is not None:
        return fields
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise ValueError(f"a {type(value).__name__} is not an object")


def _plain(value: object) -> object:
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):  # datetime is a date
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, AbstractSet):
        return sorted(value, key=str)
    return _plain_object(value)
