"""End a task with its children, on Linux and macOS: by its process group."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from epm_task.simulator.processes.tree import descendants, lives, pids

if TYPE_CHECKING:
    import psutil

_ON_LINUX = sys.platform.startswith("linux")

#: A session of its own: the terminal's Ctrl-C reaches the agent only, which then ends its tasks.
START_OPTIONS: dict[str, bool] = {"start_new_session": True}


def ask_group_to_stop(pid: int) -> None:
    """Send SIGTERM to the group that *pid* leads; no error when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGTERM)


def interrupt_group(pid: int) -> None:
    """Send SIGINT to the group that *pid* leads; no error when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGINT)


def kill_group(pid: int) -> None:
    """Send SIGKILL to the group that *pid* leads; no error when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def members(pid: int, marker: str, *, alive: bool) -> list[psutil.Process]:
    """Return the living processes of the session and group that *pid* led, and those that left it.

    Those that left are known by *marker*, `NAME=value`, in the environment they were started with,
    also when their parents are gone; while *pid* is *alive*, its descendants are known as well.
    """
    wanted = marker.encode()
    below = descendants({pid}) if alive else frozenset()
    candidates = [other for other in pids() if other != os.getpid()]
    found = [_member(other, pid, wanted, known=other in below) for other in candidates]
    return [process for process in found if process is not None]


def _member(pid: int, leader: int, wanted: bytes, *, known: bool) -> psutil.Process | None:
    import psutil  # noqa: PLC0415  # see tree.py

    with contextlib.suppress(psutil.Error, OSError):
        ours = known or leader in {os.getpgid(pid), os.getsid(pid)}
        if ours or wanted in _environment(pid):
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

    pairs = psutil.Process(pid).environ().items()
    return [f"{name}={value}".encode() for name, value in pairs]
