"""Stderr lines stand for the standard streams of a process, which a test must not touch."""

from __future__ import annotations

import json
import threading
from typing import Any

from epm_task.runtime.streams import StandardStreams


class StderrLines(StandardStreams):
    """Keeps what would be written to stderr."""

    def __init__(self, *, interactive: bool = False) -> None:
        """Start empty, and reserve nothing."""
        self.interactive = interactive  # type: ignore[misc]  # final for the real ones
        self.lines: list[bytes] = []
        self.stdout = b""
        self.forked = False
        self._lock = threading.RLock()

    def end_by(self, moment: float) -> None:
        """Wait for nobody."""

    def write_stderr(self, line: bytes, *, record: bool = False, keep: bool = True) -> bool:
        """Keep a line."""
        assert record or not line.startswith(b"{")
        assert keep or record
        assert line.endswith(b"\n")
        with self._lock:
            self.lines.append(line)
        return True

    def finish(self) -> int:
        """Have everything taken."""
        return 0

    def write_last(self, line: bytes) -> None:
        """Keep the last line."""
        self.lines += [line] if line else []

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
