"""Stderr lines stand for the standard streams of a process, which a test must not touch."""

from __future__ import annotations

import json
import threading
from typing import Any


class StderrLines:
    """Keeps what would be written to stderr; passed where `StandardStreams` is expected."""

    def __init__(self, *, interactive: bool = False) -> None:
        """Start empty."""
        self.interactive = interactive
        self.lines: list[bytes] = []
        self.stdout = b""
        self._lock = threading.Lock()

    def write_stderr(self, line: bytes) -> bool:
        """Keep a line."""
        assert line.endswith(b"\n")
        with self._lock:
            self.lines.append(line)
        return True

    def write_stdout(self, line: bytes) -> bool:
        """Keep the result."""
        self.stdout += line
        return True

    @property
    def text(self) -> str:
        """Everything."""
        return b"".join(self.lines).decode()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records among the lines; each line that begins like one must be one."""
        return [json.loads(line) for line in self.lines if line.startswith(b"{")]
