"""A secret text is one that an author declared as secret by its type; no record may hold it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def secret_texts(value: Any) -> Iterator[str]:
    """Yield what every `SecretStr` and `SecretBytes` in *value* holds, at any depth.

    Arguments and settings are trees: lists of repeated options, models below models.
    """
    if isinstance(value, type):
        return
    if hasattr(value, "get_secret_value"):
        secret = value.get_secret_value()
        if isinstance(secret, bytes):  # as a record would show them
            secret = secret.decode("utf-8", "backslashreplace").rstrip("\r\n")
        if isinstance(secret, str):
            yield secret
    else:
        for part in _parts(value):
            yield from secret_texts(part)


def _parts(value: Any) -> list[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if hasattr(value, "model_dump"):
        return [part for _, part in value]
    return []
