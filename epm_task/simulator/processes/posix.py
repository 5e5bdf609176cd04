"""End a task with its children, on Linux and macOS: by its process group."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import psutil

_ON_LINUX = sys.platform.startswith("linux")

#: A session of its own: the terminal's Ctrl-C reaches the agent only, which then ends its tasks.
START_OPTIONS: dict[str, bool] = {"start_new_session": True}


def ask_group_to_stop(pid: int) -> None:
    """Send SIGTERM to the group that *pid* leads; no error when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGTERM)


def kill_group(pid: int) -> None:
    """Send SIGKILL to the group that *pid* leads; no error when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def members(pid: int, marker: str) -> list[psutil.Process]:
    """Return the living processes of the group that *pid* led, and those that left it.

    Those that left are known by *marker*, `NAME=value`, in the environment they were started with:
    unlike the chain of parents it also finds a process whose parents are gone.
    """
    wanted = marker.encode()
    return [process for other in psutil.pids() if (process := _member(other, pid, wanted))]


def _member(pid: int, group: int, wanted: bytes) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error, OSError):
        if pid != os.getpid() and (wanted in _environment(pid) or os.getpgid(pid) == group):
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else process
    return None


def _environment(pid: int) -> list[bytes]:
    if _ON_LINUX:  # psutil's way costs three times as much
        try:
            return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except PermissionError:  # another user's process; it may still be in the group
            return []
    pairs = psutil.Process(pid).environ().items()
    return [f"{name}={value}".encode() for name, value in pairs]
