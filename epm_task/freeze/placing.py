"""Placing gives a built folder its modes and times, and moves it to where an agent looks for it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

from epm_task.freeze.freeze_error import FreezeError
from epm_task.runtime.manifest import NAME as MANIFEST

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.freeze.built import Built

_FOLDER_MODE: Final = 0o755
_EXECUTABLE_MODE: Final = 0o755
_FILE_MODE: Final = 0o644


def tidy(built: Built, epoch: int) -> None:
    """Give every file the mode 0644, folders and the executable 0755, and all the same time."""
    executable = built.folder / built.executable
    for path in (built.folder, *built.folder.rglob("*")):
        if path.is_symlink():
            continue
        folder = path.is_dir()
        mode = _FOLDER_MODE if folder else _EXECUTABLE_MODE if path == executable else _FILE_MODE
        path.chmod(mode)
    for path in (*built.folder.rglob("*"), built.folder):
        if not path.is_symlink():
            os.utime(path, (epoch, epoch))


def check_place(place: Path) -> None:
    """Refuse to replace a folder that no build of ours has made.

    Raises:
        FreezeError: There is such a folder.
    """
    if place.is_symlink() or (place.exists() and not (place / MANIFEST).is_file()):
        raise FreezeError(
            f"{place} is there already, and holds no {MANIFEST} of an earlier build",
            "remove it, or choose another --output",
        )


def put_in_place(folder: Path, place: Path) -> None:
    """Move the built folder to its place; what was there before goes away afterwards.

    Raises:
        OSError: It cannot be moved; then the old one is back.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    old = folder.with_name(f"{folder.name}.old")
    replaced = place.exists()
    if replaced:
        place.rename(old)
    try:
        folder.rename(place)
    except OSError:
        if replaced:
            old.rename(place)
        raise
    if replaced:
        shutil.rmtree(old)
