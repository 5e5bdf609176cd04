"""Tests of the Python program."""

from __future__ import annotations

import os
import subprocess
import sys

from epm_task.simulator.python_program import python_program


def test_interpreter_keeps_its_pid():
    """The process that was started is the one that runs the code."""
    program, env = python_program()
    code = "import os; print(os.getpid())"
    with subprocess.Popen(
        [program, "-c", code], stdout=subprocess.PIPE, env={**os.environ, **env}
    ) as process:
        out, _ = process.communicate()
    assert int(out) == process.pid


def test_windows_environment_is_bypassed():
    """On Windows the real interpreter is named, and told of its environment."""
    program, env = python_program("win32")
    if sys.prefix == sys.base_prefix:
        assert (program, env) == (sys.executable, {})
    else:
        assert program == sys._base_executable
        assert env == {"__PYVENV_LAUNCHER__": sys.executable}
