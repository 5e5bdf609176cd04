"""End a task with its children, on Linux and macOS: by its process group."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epm_task.simulator.processes.tree import descendants, lives, pids

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psutil

_ON_LINUX = sys.platform.startswith("linux")


def start_options() -> dict[str, Any]:
    """Return how a task is started: the terminal's Ctrl-C reaches the agent only, in a session."""
    return {"start_new_session": True}


class Group:
    """The process group that *pid* leads, and what has left it.

    Whatever left is known by *name* and *value*, in the environment it was started with.
    """

    def __init__(self, pid: int, name: str, value: str) -> None:
        self._pid = pid
        self._marker = f"{name}={value}".encode()

    def ask_to_stop(self, others: Iterable[psutil.Process] = (), *, alive: bool) -> None:
        """Send SIGTERM to the group while its leader is *alive*, and to the *others*."""
        self._send(signal.SIGTERM, others, alive=alive)

    def interrupt(self, *, alive: bool) -> None:
        """Send SIGINT to the group while its leader is *alive*."""
        self._send(signal.SIGINT, (), alive=alive)

    def kill(self, others: Iterable[psutil.Process] = (), *, alive: bool) -> None:
        """Send SIGKILL to the group while its leader is *alive*, and to the *others*."""
        self._send(signal.SIGKILL, others, alive=alive)

    def members(self, *, alive: bool) -> list[psutil.Process]:
        """Return the living processes of the leader's session and group, and those that left it.

        Those that left are known by the marker, also when their parents are gone; while the leader
        is *alive*, its descendants are known as well.
        """
        below = descendants({self._pid}) if alive else frozenset()
        candidates = [other for other in pids() if other != os.getpid()]
        found = [self._member(other, known=other in below) for other in candidates]
        return [process for process in found if process is not None]

    def close(self) -> None:
        """Let go of the group; here nothing is held."""

    def _send(self, number: int, others: Iterable[psutil.Process], *, alive: bool) -> None:
        import psutil  # noqa: PLC0415  # see tree.py

        if alive:  # afterwards the number may be another group's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)
        for process in others:
            with contextlib.suppress(psutil.Error):  # it is gone, or not ours to end any more
                process.send_signal(number)

    def _member(self, pid: int, *, known: bool) -> psutil.Process | None:
        try:
            ours = known or self._pid in {os.getpgid(pid), os.getsid(pid)}
            ours = ours or self._marker in _environment(pid)
        except OSError:  # it has ended
            return None
        if not ours:
            return None
        import psutil  # noqa: PLC0415  # see tree.py

        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            return process if lives(process) else None
        return None


def _environment(pid: int) -> list[bytes]:
    if _ON_LINUX:  # psutil's way costs three times as much
        try:
            return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except PermissionError:  # another user's process; it may still be in the group
            return []
    import psutil  # noqa: PLC0415  # see tree.py

    with contextlib.suppress(psutil.Error):
        pairs = psutil.Process(pid).environ().items()
        return [f"{name}={value}".encode() for name, value in pairs]
    return []
