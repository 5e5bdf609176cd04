"""A start error says why an agent could not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class StartError(Exception):
    """The agent could not start; the text says what happened, why, and what to do."""


class RootUnusable(StartError):
    """The agent's root cannot be created or written."""

    def __init__(self, root: Path, why: str) -> None:
        """Take the root and the operating system's reason."""
        super().__init__(
            f"the agent's root {root} cannot be used: {why}; choose a folder that you may write"
        )


class RootHeld(StartError):
    """Another agent runs on this root."""

    def __init__(self, root: Path, pid: int | None) -> None:
        """Take the root and the PID of its holder, when it is known."""
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the agent's root {root} is in use by {holder}; stop that agent, or use another root"
        )
        self.pid = pid


class FileUnwritable(StartError):
    """A file that was asked for cannot be written."""

    def __init__(self, path: Path, why: str) -> None:
        """Take the file and the operating system's reason."""
        super().__init__(f"{path} cannot be written: {why}; give the path of another file")


class PortTaken(StartError):
    """A port that was asked for belongs to another process."""

    def __init__(self, port: int, holder: str) -> None:
        """Take the port, and its holder in words: `process 4711 (nginx)`."""
        super().__init__(
            f"port {port} is in use by {holder}; choose another one, or 0 for any free one"
        )
        self.port = port
