"""A Python program is the interpreter as the agent starts it: one process that keeps its PID."""

from __future__ import annotations

import os
import sys


def python_program(platform: str = sys.platform) -> tuple[str, dict[str, str]]:
    """Return the interpreter's path, and the environment it needs.

    On Windows (untested) a virtual environment's `python.exe` starts the real one as a child, and
    the agent would register the wrong PID; so the real one is named, and told where it belongs.
    """
    base = str(getattr(sys, "_base_executable", None) or sys.executable)
    if platform == "win32" and os.path.normcase(base) != os.path.normcase(sys.executable):
        return base, {"__PYVENV_LAUNCHER__": sys.executable}
    return sys.executable, {}
