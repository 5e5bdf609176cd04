"""A JSON writer turns a document into text that reads back as the same document."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from epm_task.job.exact_number import ExactNumber

INDENT: Final = "  "
_FIRST_INDENT: Final = re.compile(r"^[{\[]\s*?\n([ \t]+)")


def write_document(value: Any, *, indent: str = INDENT) -> str:
    """Return *value* as readable JSON that ends with a newline; the order of names is kept."""
    return f"{_written(value, indent, 0)}\n"


def encoded(text: str) -> bytes:
    """Return the text in UTF-8; a lone surrogate becomes the escape that it came from."""
    return text.encode("utf-8", "backslashreplace")


def indent_of(text: str) -> str:
    """Return the blanks by which *text* indents its first line, two when it has none."""
    match = _FIRST_INDENT.match(text)
    return match[1] if match else INDENT


def _written(value: Any, indent: str, depth: int) -> str:
    if isinstance(value, dict):
        pairs = [f"{_scalar(k)}: {_written(v, indent, depth + 1)}" for k, v in value.items()]
        return _bracketed("{}", pairs, indent, depth)
    if isinstance(value, list | tuple):
        items = [_written(item, indent, depth + 1) for item in value]
        return _bracketed("[]", items, indent, depth)
    return _scalar(value)


def _bracketed(brackets: str, items: list[str], indent: str, depth: int) -> str:
    if not items:
        return brackets
    inner = f",\n{indent * (depth + 1)}".join(items)
    return f"{brackets[0]}\n{indent * (depth + 1)}{inner}\n{indent * depth}{brackets[1]}"


def _scalar(value: Any) -> str:
    if isinstance(value, ExactNumber):
        return value.text
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
