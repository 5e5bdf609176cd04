"""A JSON pointer names one value inside a document (RFC 6901); the empty one is all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def child(pointer: str, key: str | int) -> str:
    """Return the pointer of an entry of the object or array at *pointer*."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def pointer_to(keys: Iterable[str | int]) -> str:
    """Return the pointer that follows *keys* from the root."""
    pointer = ""
    for key in keys:
        pointer = child(pointer, key)
    return pointer


def parent(pointer: str) -> str:
    """Return the pointer of the object or array that holds the value at *pointer*."""
    return pointer.rpartition("/")[0]


def present_keys(value: Any, keys: Iterable[str | int]) -> list[str | int]:
    """Return those of *keys*, in order, that lead somewhere when followed from *value*."""
    followed: list[str | int] = []
    for key in keys:
        if not _leads(value, key):
            continue
        value = value[key]
        followed.append(key)
    return followed


def _leads(value: Any, key: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and key < len(value)
    return isinstance(value, dict) and key in value
