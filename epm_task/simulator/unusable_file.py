"""An unusable file is one of the agent's own files whose content is broken; it is left as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.simulator.start_error import StartError

if TYPE_CHECKING:
    from pathlib import Path


class UnusableFile(StartError):
    """A file of the agent that cannot be used.

    Attributes:
        path: The file.
        line: Where the content is broken, counted from 1; 0 when no line can be named.
        why: The reason.
    """

    def __init__(self, path: Path, why: str, *, line: int = 0) -> None:
        """Take the facts; the sentence says that the file was not changed."""
        place = f"{path}, line {line}" if line else str(path)
        super().__init__(f"{place}: {why}; the file was not changed: correct it, or move it away")
        self.path = path
        self.line = line
        self.why = why
