"""Watched folders are those in which a program must not have touched anything."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Snapshot = dict[str, tuple[int, int]]


def snapshot(folders: Iterable[Path]) -> Snapshot:
    """Return size and time of change of all that is below the folders, themselves included.

    A file that was there for a moment shows too: it changed the time of its folder.
    """
    seen: Snapshot = {}
    for folder in folders:
        for above, _, files in os.walk(folder):
            for path in (above, *(os.path.join(above, name) for name in files)):  # noqa: PTH118 - many
                found = os.lstat(path)
                seen[path] = (found.st_size, found.st_mtime_ns)
    return seen


def touched(before: Snapshot, after: Snapshot) -> list[str]:
    """Return the paths that came, went or changed."""
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
