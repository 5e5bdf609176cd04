"""A forked command is the real `epm-task`, in a process of its own that starts at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from peers.patience import PATIENCE

#: SIGKILL; with this number Windows ends a process, too, and it is the exit code.
KILL: Final = 9


class Forked:
    """Starts commands one after the other, and kills them.

    Args:
        folder: Where their output is written.
    """

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output.txt"
        self._server = _server()
        self._command = self._server
        self._pid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    @property
    def output(self) -> str:
        """What the last command wrote."""
        return self._output.read_text("utf-8") if self._output.exists() else ""

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
        if os.name == "posix":
            self._pid = self._number()
        else:  # it becomes the command, and the next one imports meanwhile
            self._command, self._server = self._server, _server()
            self._pid = self._command.pid

    def wait(self) -> int:
        """Wait for its end and return its exit code, -9 when it was killed."""
        if os.name == "posix":
            return self._number()
        self._command.communicate(timeout=PATIENCE)
        code = self._command.returncode
        return -KILL if code == KILL else code

    def run(self, *words: object) -> int:
        """Run a command to its end."""
        self.start(*words)
        return self.wait()

    def kill(self) -> int:
        """Kill it with SIGKILL, if it still runs, and return its exit code."""
        with suppress(ProcessLookupError, PermissionError):  # it has ended
            os.kill(self._pid, KILL)
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


def _server() -> subprocess.Popen[str]:
    server = Path(__file__).with_name("fork_server.py")
    return subprocess.Popen(
        [sys.executable, server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
