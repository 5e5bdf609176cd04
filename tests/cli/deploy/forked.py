"""A forked command is the real `epm-task`, in a process of its own that starts at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from peers.patience import PATIENCE

_SERVER = Path(__file__).with_name("fork_server.py")


class Forked:
    """Starts commands one after the other, and kills them.

    Args:
        folder: Where their output is written.
    """

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output.txt"
        self._server = subprocess.Popen(
            [sys.executable, _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._pid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    @property
    def output(self) -> str:
        """What the last command wrote."""
        return self._output.read_text() if self._output.exists() else ""

    def start(self, *words: object) -> None:
        """Start a command."""
        self._output.unlink(missing_ok=True)
        asked = {
            "words": [str(word) for word in words],
            "folder": str(Path.cwd()),
            "output": str(self._output),
        }
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        self._pid = self._number()

    def wait(self) -> int:
        """Wait for its end and return its exit code, -9 when it was killed."""
        return self._number()

    def run(self, *words: object) -> int:
        """Run a command to its end."""
        self.start(*words)
        return self.wait()

    def kill(self) -> int:
        """Kill it with SIGKILL, if it still runs, and return its exit code."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        return self.wait()

    def kill_at(self, words: str) -> int:
        """Kill it as soon as it has said these words."""
        until = time.monotonic() + PATIENCE
        while words not in self.output:
            assert time.monotonic() < until, self.output
        return self.kill()

    def _number(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())
