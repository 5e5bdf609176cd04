"""A built program is the folder that a backend made, before it is put in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Built(NamedTuple):
    """What a backend made.

    Attributes:
        folder: The folder that is to become `Jobs/bin/{Command}`.
        executable: Name of the file in it that the agent starts.
        contents: Where each file inside came from, by its path inside.
        missing: Modules that the program's own files import, but that are not installed.
    """

    folder: Path
    executable: str
    contents: dict[str, str]
    missing: tuple[str, ...] = ()
