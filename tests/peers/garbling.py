"""Garbled variants of an object: each field dropped, replaced, renamed, given another type."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What takes the place of a value: every type, and what is harmful as a name, a path or a number.
REPLACEMENTS: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1.5, -0.5, 10**30, 1e300),
    *(
        "",
        "x",
        "/abs/path",
        "../../x",
        "..",
        "a/b",
        "a\\b",
        "nul\0",
        "line\nend",
        "\ud800",
        "é" * 300,
    ),
    *("x" * 70_000, [], {}, [None], ["/abs"], [[]], {"a": None}, {"../x": {}}, {"": "x"}),
)


def garbled(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the garbled variants of *document* with what was done; it is not changed itself."""
    for way in _ways(document):
        name = "/".join(map(str, way))
        variant, holder = _copied(document, way)
        del holder[way[-1]]
        yield f"{name} dropped", variant
        for value in REPLACEMENTS:
            variant, holder = _copied(document, way)
            holder[way[-1]] = value
            yield f"{name} = {repr(value)[:30]}", variant
        if isinstance(way[-1], str):
            variant, holder = _copied(document, way)
            holder["/abs/" + way[-1]] = holder.pop(way[-1])
            yield f"{name} renamed", variant
    yield "one more", {**document, "unknown": 1}


def _ways(value: Any) -> Iterator[list[Any]]:
    children = dict(enumerate(value)) if isinstance(value, list) else value
    for key, inner in children.items() if isinstance(children, dict) else ():
        yield [key]
        yield from ([key, *way] for way in _ways(inner))


def _copied(document: dict[str, Any], way: list[Any]) -> tuple[dict[str, Any], Any]:
    variant = copy.deepcopy(document)
    holder: Any = variant
    for key in way[:-1]:
        holder = holder[key]
    return variant, holder


def as_toml(table: dict[str, Any]) -> str:
    """Return a document as TOML, which has neither null nor half a character."""
    return "".join(f"{_text(key)} = {_toml(value)}\n" for key, value in table.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_text(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return _text(value) if isinstance(value, str) else "''" if value is None else json.dumps(value)


def _text(value: str) -> str:
    return json.dumps(value.encode(errors="replace").decode(), ensure_ascii=False)
