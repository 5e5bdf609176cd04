"""Surroundings are what a process was started in; a task refuses those that it cannot trust."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from epm_task.errors import NoAgent, UnsafeConfiguration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.runtime.invocation import Invocation


def check_surroundings(invocation: Invocation, file: Path, argv: Sequence[str]) -> str:
    """Return the agent's base URL when the process was started in a way that can work.

    Raises:
        NoAgent: There is no base URL, so no agent started the process.
        UnsafeConfiguration: The program is a one-file executable.
    """
    if one_file_build():
        raise UnsafeConfiguration(
            "this is a one-file executable: it runs in a child of the process that the agent "
            "started and trusts, and unpacks itself into a temporary folder; build it as one "
            "folder (pyinstaller --onedir)"
        )
    if invocation.keeper_api_base is None:
        arguments = f" -- {shlex.join(argv)}" if argv else ""
        raise NoAgent(f"epm-task run {shlex.quote(_shown(file))}{arguments}")
    return invocation.keeper_api_base


def one_file_build() -> bool:
    """Tell whether PyInstaller's bootloader unpacked this program into a temporary folder."""
    unpacked = getattr(sys, "_MEIPASS", None)
    if not getattr(sys, "frozen", False) or unpacked is None:
        return False
    return Path(sys.executable).resolve().parent not in Path(unpacked).resolve().parents


def _shown(file: Path) -> str:
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(file)
