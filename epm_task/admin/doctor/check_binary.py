"""Check the program of each task: is it there, safe, made for this machine, and not one file?

The archive of PyInstaller is that of its `archive/readers.py`.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from epm_task.admin.doctor.finding import (
    Finding,
    is_there,
    ok,
    problem,
    read_there,
    unknown,
    warning,
)
from epm_task.contract.cannot_start import find_obstacle, find_script_fault, missing_program
from epm_task.contract.executable import HEAD_BYTES, machines_of
from epm_task.contract.json_text import BadJson
from epm_task.contract.layout import (
    ALLOWED_EXECUTABLES_KEY,
    SCRIPT_TYPES,
    allowed_executables,
    find_program,
    is_listed,
    program_name,
)
from epm_task.contract.names import NON_ADMIN_TYPES, allowed_systems, execution_type_of, os_name
from epm_task.errors import UnsafeConfiguration, sentence
from epm_task.trust import check_folder, open_file, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.finding import Setup

_ROOT: Final = "run this as root"


def check_binaries(setup: Setup) -> Iterator[Finding]:
    """Look at the binary of each task of the job."""
    if setup.document is None or os_name() not in allowed_systems(setup.document):
        return
    folder = setup.root.jobs_bin if setup.root else None
    for task in setup.tasks:
        if (place := _place(task, folder)) is not None:
            is_there(place)  # a place that is closed to this user is not an empty one
        if path := find_program(task, folder):
            yield ok("binary", str(path))
            yield _rights(path)
            yield from _kind(path)
        else:
            yield _missing(task, folder)


def check_listed(setup: Setup) -> Iterator[Finding]:
    """Look whether the agent lists the programs that users who are not administrators run."""
    users = [task for task in setup.tasks if execution_type_of(task) in NON_ADMIN_TYPES]
    if not users or os_name() not in allowed_systems(setup.document or {}):
        return
    if setup.root is None:
        fix = "give the agent's --agent-root"
        yield unknown("allowed list", "which programs users may run only its folder tells", fix=fix)
        return
    file = setup.root.appsettings
    try:
        allowed = allowed_executables(read_there(file) or {})
    except BadJson as error:
        yield unknown("allowed list", f"{file}: {error.what}", error.why, fix=error.fix)
        return
    for name in dict.fromkeys(map(program_name, users)):
        fix = f'add "{name}" to {ALLOWED_EXECUTABLES_KEY} in Settings of {file}, restart the agent'
        if allowed is None:
            what = f"whether the agent lets in {name} of a user is not known"
            yield unknown("allowed list", what, f"no {ALLOWED_EXECUTABLES_KEY} in {file}", fix=fix)
        elif is_listed(name, allowed):
            yield ok("allowed list", f"{name} is in {ALLOWED_EXECUTABLES_KEY}")
        else:
            yield problem(
                "allowed list",
                f"{name} is not in {ALLOWED_EXECUTABLES_KEY}",
                "to a user who is not an administrator the agent answers 403, and the task "
                "ends with exit code 77",
                fix=fix,
            )


def _place(task: dict[str, Any], folder: Path | None) -> Path | None:
    """Return where the task's program should be."""
    given, command = task.get("executablePath"), str(task.get("command") or "")
    if given and isinstance(given, str):
        return Path(given)
    return folder / command / command if folder else None


def _missing(task: dict[str, Any], folder: Path | None) -> Finding:
    place = _place(task, folder)
    if place is None:
        fix = "give the agent's --agent-root"
        return unknown("binary", f"where {task.get('command')} would be is not known", fix=fix)
    missing = missing_program(task, folder)
    return problem(
        "binary",
        f"task {task.get('id')!r} has no program",
        sentence(missing.what, missing.why),
        fix="build it (epm-task freeze) and put its whole folder there, before the job is applied",
    )


def _rights(path: Path) -> Finding:
    """Tell who may run, and who may replace, the file."""
    found = path.stat()
    try:
        open_file(path).close()
        if (path.parent / "_internal").exists():
            check_folder(path.parent / "_internal")
    except PermissionError as error:
        return unknown("rights", f"{path} cannot be opened by this user", str(error), fix=_ROOT)
    except OSError as error:
        why = error.strerror or str(error)
        return problem("rights", f"{path} cannot be opened", why, fix="correct its folders' rights")
    except UnsafeConfiguration as error:
        why = "the agent runs it as its own account"
        return problem("rights", sentence(error.what, error.why), why, fix=error.fix)
    facts = f"mode {stat.S_IMODE(found.st_mode):04o}, uid {found.st_uid}; "
    return ok("rights", f"{facts if os.name == 'posix' else ''}only its owner can replace it")


def _kind(path: Path) -> Iterator[Finding]:
    try:
        found = read_executable(path)
    except OSError as error:
        why = error.strerror or str(error)
        yield unknown("architecture", f"{path} cannot be read", why, fix=_ROOT)
        return
    yield _start(path) or _architecture(path, found)
    if found.one_file:
        yield problem(
            "one-dir",
            f"{path} is a one-file executable of {found.one_file}",
            "its code runs in a child of the process that the agent registers, so the agent may "
            "answer 403",
            fix="build one folder instead: epm-task freeze, or pyinstaller --onedir",
        )
    elif found.system not in {"", "script"}:
        yield ok("one-dir", "the code runs in the process that the agent starts")


def _start(path: Path) -> Finding | None:
    """Tell why the system could not start the file; None when nothing is seen."""
    others_may = os.name == "posix" and os.geteuid() and path.stat().st_mode & 0o111
    if others_may and not os.access(path, os.X_OK):
        return unknown("start", f"{path} may not be executed by this user", fix=_ROOT)
    # By its extension the agent finds an interpreter, and then the system executes that.
    examine = find_script_fault if path.suffix.casefold() in SCRIPT_TYPES else find_obstacle
    found = examine(path)
    return problem("start", found.what, found.why, fix=found.fix) if found else None


def _architecture(path: Path, found: Executable) -> Finding:
    if found.system == "script":
        return ok("architecture", "a script with a #! line")
    if not found.system:
        return warning(
            "architecture",
            f"{path} is neither an executable (ELF, PE, Mach-O) nor a script with a #! line",
            fix="the agent must find its interpreter by the extension",
        )
    made = f"{found.system} on {' or '.join(sorted(found.machines))}"
    return ok("architecture", f"made for {made}")


#: PyInstaller's cookie: magic, archive length, offset and length of its table, version, library.
_COOKIE: Final = struct.Struct("!8sIIII64s")
_COOKIE_MAGIC: Final = b"MEI\014\013\012\013\016"
_ENTRY: Final = struct.Struct("!IIIIBc")
#: The cookie is the end of the file, unless a signature of some KiB follows.
_LOOK_BACK_BYTES: Final = 4 * 1024 * 1024
#: What Nuitka's one-file bootstrap hands to its child.
_NUITKA_ONE_FILE: Final = b"NUITKA_ONEFILE_PARENT"
#: Size of that bootstrap, which the packed files follow.
_BOOTSTRAP_BYTES: Final = 2 * 1024 * 1024
#: A shared library in the table.
_BINARY_ENTRY: Final = b"b"


class Executable(NamedTuple):
    """System of a file, `script` or empty, its machines, and the packer when it is one-file."""

    system: str
    machines: frozenset[str]
    one_file: str


def read_executable(path: Path) -> Executable:
    """Return the facts of the file.

    Raises:
        OSError: It cannot be read.
    """
    with open_regular(path) as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - _LOOK_BACK_BYTES))
        tail = file.read()
        system, machines = machines_of(head, file)
        packer = "PyInstaller" if _is_one_file(file, tail, size, path) else ""
        if not packer and system not in {"", "script"}:
            file.seek(0)
            packer = "Nuitka" if _NUITKA_ONE_FILE in file.read(_BOOTSTRAP_BYTES) else ""
    return Executable(system, frozenset(machines), packer)


def _is_one_file(file: BinaryIO, tail: bytes, size: int, path: Path) -> bool:
    """Return whether PyInstaller's archive holds the libraries too; one-dir has them beside."""
    place = tail.rfind(_COOKIE_MAGIC)
    if place < 0 or len(tail) - place < _COOKIE.size:
        return False
    _, length, offset, table_length, *_ = _COOKIE.unpack_from(tail, place)
    start = size - len(tail) + place + _COOKIE.size - length
    if start < 0 or table_length > length:
        return not _has_libraries_beside(path)
    file.seek(start + offset)
    kinds = _entry_kinds(file.read(table_length))
    return _BINARY_ENTRY in kinds if kinds else not _has_libraries_beside(path)


def _entry_kinds(table: bytes) -> set[bytes]:
    kinds = set()
    position = 0
    while position + _ENTRY.size <= len(table):
        length, *_, kind = _ENTRY.unpack_from(table, position)
        if length < _ENTRY.size:
            break
        kinds.add(kind)
        position += length
    return kinds


def _has_libraries_beside(path: Path) -> bool:
    # `_internal` since PyInstaller 6; before, everything was beside the executable.
    return any((path.parent / name).exists() for name in ("_internal", "base_library.zip"))
