"""Lend the terminal of this command to a task that is debugged, and take it back at the end."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from epm_task.runtime import debugger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "win32":
    import termios


@contextmanager
def lent_terminal(folder: Path) -> Iterator[dict[str, str]]:
    """Lend the terminal that stdin is; yield the environment in which a task finds it.

    *folder* takes a file with its name.

    A debugger that was killed leaves the terminal without echo, so its modes are restored.
    """
    there = os.isatty(0)
    environ = debugger.lend(folder / "terminal", _name() if there else "")
    if sys.platform == "win32" or not there:
        yield environ
        return
    modes, stops = termios.tcgetattr(0), signal.getsignal(signal.SIGTSTP)
    try:
        yield environ
    finally:
        if debugger.begun(environ):
            termios.tcsetattr(0, termios.TCSADRAIN, modes)
            signal.signal(signal.SIGTSTP, stops)  # see `begun`


def begun(environ: dict[str, str]) -> bool:
    """Tell whether a debugger has begun; from then on Ctrl-Z does not stop this command alone.

    The task would go on to read from the terminal, beside the shell.
    """
    if not debugger.begun(environ):
        return False
    if hasattr(signal, "SIGTSTP"):
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    return True


def _name() -> str:
    return "CONIN$" if sys.platform == "win32" else os.ttyname(0)
