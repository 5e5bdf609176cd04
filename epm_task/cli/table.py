"""A table shows rows to people: aligned columns of plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.runtime.record_view import printable

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return heads and rows as lines; control characters cannot reach the terminal."""
    texts = [[printable(str(cell)) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )
