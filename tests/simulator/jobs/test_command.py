"""Tests of the command."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from epm_task.simulator.jobs.command import (
    CommandProblem,
    command_line,
    python_program,
)

if TYPE_CHECKING:
    from pathlib import Path


def _file(path: Path, text: str = "", *, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("name", "text", "mode", "interpreter"),
    [
        ("binary", "\x7fELF", 0o755, []),
        ("script", "#!/bin/sh\n", 0o755, []),
        ("script", "#! /usr/bin/env  python3 -u\n", 0o644, ["/usr/bin/env", "python3 -u"]),
        ("script.py", "#!/bin/sh\n", 0o755, []),
        ("script.py", "print()\n", 0o755, [sys.executable]),
        ("script.sh", "echo\n", 0o644, ["/bin/sh"]),
    ],
)
def test_auto(tmp_path: Path, name: str, text: str, mode: int, interpreter: list[str]):
    """Shebang first, then extension."""
    program = _file(tmp_path / name, text, mode=mode)
    wanted = [*interpreter, str(program), "a b"]
    assert command_line(program, "Auto", ["a b"], "linux") == wanted


def test_named_script_types(tmp_path: Path):
    """A `scriptType` other than `Auto` names the interpreter."""
    program = _file(tmp_path / "x", "echo\n", mode=0o644)
    assert command_line(program, "Bash", [])[0] == "/bin/bash"
    assert "-File" in command_line(program, "PowerShell", [])
    with pytest.raises(CommandProblem, match="no interpreter for scriptType 'cobol'"):
        command_line(program, "Cobol", [])


def test_plain_file_is_refused(tmp_path: Path):
    """A file that cannot be run in any way says what to do."""
    program = _file(tmp_path / "data", "x", mode=0o644)
    with pytest.raises(CommandProblem, match=r"chmod \+x") as caught:
        command_line(program, "Auto", [], "linux")
    assert caught.value.exit_code == 126


def test_batch_file_cannot_be_injected(tmp_path: Path):
    """cmd.exe would run what follows an ampersand, so such an argument is refused."""
    program = _file(tmp_path / "x.cmd")
    assert command_line(program, "Auto", ["plain"], "win32") == [str(program), "plain"]
    with pytest.raises(CommandProblem, match="batch file"):
        command_line(program, "Auto", ['"&calc'], "win32")


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
