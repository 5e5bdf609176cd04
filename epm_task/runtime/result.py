"""A JSON object is the one form in which values leave a task: on stdout, and on its topics."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from enum import Enum
from pathlib import PurePath


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


def _plain_object(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise ValueError(f"a {type(value).__name__} is no object")


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
