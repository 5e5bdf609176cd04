"""End a task with its children, on Windows: by its process group.

Written from the platform's documentation; untested.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

import psutil

#: CTRL_BREAK can be sent to a process group of its own only.
START_OPTIONS: dict[str, int] = {
    "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
}


def ask_group_to_stop(pid: int) -> None:
    """Send CTRL_BREAK to the group that *pid* leads; no error when it is gone."""
    with contextlib.suppress(OSError):
        os.kill(pid, getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))


#: The system delivers Ctrl-C to no process group of its own.
interrupt_group = ask_group_to_stop


def kill_group(pid: int) -> None:
    """End *pid* and its descendants; no error when they are gone."""
    with contextlib.suppress(psutil.Error):
        leader = psutil.Process(pid)
        for process in [*leader.children(recursive=True), leader]:
            with contextlib.suppress(psutil.Error):
                process.kill()


def members(pid: int, marker: str, *, alive: bool) -> list[psutil.Process]:  # noqa: ARG001
    """Return the living processes that have *marker*, `NAME=value`, in their environment.

    The rest is not needed: Windows has no group that outlives its leader.
    """
    return [process for process in psutil.process_iter() if _is_marked(process, marker)]


def _is_marked(process: psutil.Process, marker: str) -> bool:
    name, _, value = marker.partition("=")
    try:
        return process.pid != os.getpid() and bool(process.environ().get(name) == value)
    except psutil.Error:
        return False
