"""The binary of each task must be there, safe, made for this machine, and packed as one folder."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from epm_task.admin.doctor.executable import Executable, read_executable
from epm_task.admin.doctor.finding import Finding, fault, note, ok, unknown
from epm_task.errors import UnsafeConfiguration
from epm_task.job.os_filter import allowed_systems, os_name
from epm_task.runtime.trusted_file import check_trusted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.agent_root import AgentRoot
    from epm_task.admin.doctor.case import Case

_MACHINES: Final = {"amd64": "x86_64", "aarch64": "arm64", "i386": "x86", "i686": "x86"}


def check_binaries(case: Case) -> Iterator[Finding]:
    """Look at the binary of each task of the job."""
    if case.document is None or os_name() not in allowed_systems(case.document):
        return
    for task in case.tasks:
        path = find_binary(task, case.root)
        if path is None:
            yield _missing(task, case.root)
            continue
        yield ok("binary", str(path))
        yield from _rights(path)
        yield from _kind(path)


def find_binary(task: dict[str, Any], root: AgentRoot | None) -> Path | None:
    """Return the program of a task: `executablePath`, else in `Jobs/bin`, else on PATH."""
    if given := task.get("executablePath"):
        return Path(given) if Path(given).is_file() else None
    command = str(task.get("command") or "")
    for path in _places(command, root):
        if path.is_file():
            return path
    found = shutil.which(command) if command else None
    return Path(found) if found else None


def _places(command: str, root: AgentRoot | None) -> list[Path]:
    if root is None or not command or Path(command).name != command:
        return []
    names = [f"{command}.exe", command] if sys.platform == "win32" else [command]
    return [root.jobs_bin / command / name for name in names]


def _missing(task: dict[str, Any], root: AgentRoot | None) -> Finding:
    given, command = task.get("executablePath"), str(task.get("command") or "")
    if root is None and not given:
        return unknown(
            "binary", f"where {command} would be is not known", "give the agent's --agent-root"
        )
    place = given or next(iter(_places(command, root)), command)
    return fault(
        "binary",
        f"task {task.get('id')!r} has no program: {place} is missing",
        "build it (epm-task freeze) and put its whole folder there, before the job is applied",
    )


def _rights(path: Path) -> Iterator[Finding]:
    """Tell who may run, and who may replace, the file."""
    if os.name != "posix":
        yield unknown("rights", f"who may replace {path} is decided by its folder's rights")
        return
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if not mode & 0o111 and not path.suffix:
        yield fault("rights", f"{path} has mode {mode:04o}: nobody may run it", f"chmod 755 {path}")
        return
    try:
        for part in (path, path.parent / "_internal"):
            if part.exists():
                check_trusted(part)
    except UnsafeConfiguration as error:
        what, _, fix = str(error).rpartition("; ")
        yield fault("rights", f"{what}, and the agent runs it as its own account", fix)
        return
    yield ok("rights", f"mode {mode:04o}, uid {found.st_uid}; only its owner can replace it")


def _kind(path: Path) -> Iterator[Finding]:
    try:
        found = read_executable(path)
    except OSError as error:
        yield unknown("architecture", f"{path} cannot be read ({error.strerror})")
        return
    yield _architecture(path, found)
    if found.one_file:
        yield fault(
            "one-dir",
            f"{path} is a one-file executable of {found.one_file}: its code runs in a child of "
            "the process that the agent registers, so the agent may answer 403",
            "build one folder instead: epm-task freeze, or pyinstaller --onedir",
        )
    elif found.system not in {"", "script"}:
        yield ok("one-dir", "the code runs in the process that the agent starts")


def _architecture(path: Path, found: Executable) -> Finding:
    if found.system == "script":
        return ok("architecture", "a script with a #! line")
    if not found.system:
        return note(
            "architecture",
            f"{path} is no executable of ELF, PE or Mach-O, and has no #! line",
            "the agent must find its interpreter by the extension",
        )
    machine = _MACHINES.get(platform.machine().lower(), platform.machine().lower())
    made = f"{found.system} on {' or '.join(sorted(found.machines))}"
    if found.system != os_name() or machine not in found.machines:
        return fault(
            "architecture",
            f"{path} was made for {made}, and this is {os_name()} on {machine}",
            "build it on a machine of this kind",
        )
    return ok("architecture", f"made for {made}")
