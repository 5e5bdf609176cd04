"""The processes of a child of a task on POSIX: a process group of the task's session.

The session stays the task's, so that who ends the task by its session ends the child with it.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

assert sys.platform != "win32"  # noqa: S101  # so type checkers know, too


def start_options() -> dict[str, Any]:
    """Return how `subprocess.Popen` starts the first process of a group."""
    return {"process_group": 0}


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a child has ended; it keeps its number until it is waited for.

    So nobody else has the number of the group when that is killed afterwards. macOS has this call
    from Python 3.13 on.
    """
    if process.returncode is not None or not hasattr(os, "waitid"):
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class ProcessGroup:
    """The group that the process *pid* leads; a process that makes a group of its own leaves it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def ask_to_stop(self) -> None:
        """Send SIGTERM to all of them."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to all of them."""
        self._send(signal.SIGKILL)

    def close(self) -> None:
        """Let go of the group; here nothing is held."""

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)
