"""Let `breakpoint()` work in a task: at the terminal of `epm-task run`, or refuse it in a sentence.

A task has no terminal: nobody would answer, and the run would hang. `epm-task run` lends its own. A
file holds the terminal's name, nothing when there is none; a second one beside it says that a
debugger has begun. From then on neither the agent's time-out nor the task's own ends the run, and
Ctrl-C belongs to the debugger.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from epm_task.errors import TaskError
from epm_task.runtime.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Path of the file, in the environment of the tasks that `epm-task run` starts.
VARIABLE: Final = "EPM_SIMULATOR_TERMINAL"
#: Of a terminal that does not tell.
_USUAL_COLUMNS: Final = 80
_PAGE: Final = "docs/debugging.md"


class NoDebugger(TaskError):
    """A debugger cannot go on: nobody is there to answer it, or it was left."""

    @classmethod
    def without_terminal(cls, where: str, why: str) -> Self:
        """Return the error of a `breakpoint()` at *where*, a file and a line."""
        fix = f"remove it, or use `epm-task run` in a terminal ({_PAGE})"
        return cls(f"breakpoint() at {where} has no terminal for a debugger", why, fix)

    @classmethod
    def left(cls) -> Self:
        """Return the error of a handler that `bdb.BdbQuit` ended."""
        return cls(
            "the debugger was left",
            "`quit` was typed, or its stdin has ended",
            f"type `continue` to go on; write breakpoint() for pdb.set_trace() ({_PAGE})",
        )


def lend(file: Path, terminal: str) -> dict[str, str]:
    """Offer a terminal, "" for none, and return the environment in which a task finds it."""
    _mark(str(file)).unlink(missing_ok=True)  # of an earlier run
    file.write_text(terminal, encoding="utf-8")
    return {VARIABLE: str(file)}


def begun(environ: Mapping[str, str]) -> bool:
    """Tell whether the task that was started with *environ* has begun to debug itself."""
    return VARIABLE in environ and _mark(environ[VARIABLE]).exists()


def attached() -> None:
    """Switch time-outs off for a debugger that came with the process, under `epm-task run` only."""
    if VARIABLE in os.environ:
        _mark(os.environ[VARIABLE]).touch()
        Stop.debug()


def prepare() -> None:
    """Do what must be done before a debugger begins: the frame above the caller's asks for one.

    Whatever `PYTHONBREAKPOINT` names may have another way to its user than a terminal.

    Raises:
        NoDebugger: It would be pdb, and a terminal is missing.
    """
    named = "" if sys.flags.ignore_environment else os.environ.get("PYTHONBREAKPOINT", "")
    if named == "0":
        return
    terminal, why = "", "the agent gives a task none, and nobody would answer"
    try:
        if file := os.environ.get(VARIABLE):
            why = "`epm-task run` was not started in one"
            terminal = Path(file).read_text("utf-8")
            if terminal and find_spec("pdb") is None:  # an executable
                terminal, why = "", "this program holds no pdb; run its task file"
        if terminal:
            _use(terminal)
    except OSError as error:
        terminal, why = "", str(error)
    if not terminal and named in {"", "pdb.set_trace"}:
        frame = sys._getframe(2)  # noqa: SLF001  # the documented way
        raise NoDebugger.without_terminal(f"{frame.f_code.co_filename}:{frame.f_lineno}", why)
    attached()
    if terminal:
        _erase_line()


def _erase_line() -> None:
    """Erase the progress that `epm-task run` has drawn; it draws none beside a debugger."""
    with suppress(OSError):
        columns = os.get_terminal_size(1).columns or _USUAL_COLUMNS
        os.write(1, b"\r" + b" " * (columns - 1) + b"\r")


def _use(terminal: str) -> None:
    """Make *terminal* stdin and stdout; the real stdout waits elsewhere for the result."""
    # Not the controlling one: its owner, `epm-task run`, passes Ctrl-C on.
    flags = os.O_RDWR | getattr(os, "O_NOCTTY", 0)
    for descriptor, name in enumerate((terminal, terminal.replace("CONIN$", "CONOUT$"))):
        opened = os.open(name, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    # Without readline, Python would write the prompt to stderr for a terminal on descriptor 0.
    stdin = 0 if find_spec("readline") else os.dup(0)
    sys.stdin = open(stdin, encoding="utf-8", closefd=False)  # noqa: SIM115


def _mark(file: str) -> Path:
    return Path(f"{file}.taken")
