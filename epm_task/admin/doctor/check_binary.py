"""Check the program of each task: is it there, safe, made for this machine, and not one file?

The headers are those of the formats' own documents: ELF (elf.h), PE (winnt.h), Mach-O (loader.h and
fat.h). The archive of PyInstaller is that of its `archive/readers.py`.
"""

from __future__ import annotations

import os
import platform
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from epm_task.admin.doctor.finding import Finding, is_there, ok, problem, unknown, warning
from epm_task.contract.layout import find_program
from epm_task.contract.names import allowed_systems, os_name
from epm_task.errors import UnsafeConfiguration, sentence
from epm_task.trust import check_folder, open_file, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.finding import Setup

_ROOT: Final = "run this as root"
_MACHINES: Final = {"amd64": "x86_64", "aarch64": "arm64", "i386": "x86", "i686": "x86"}


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
    return problem(
        "binary",
        f"task {task.get('id')!r} has no program",
        f"{place} is missing",
        fix="build it (epm-task freeze) and put its whole folder there, before the job is applied",
    )


def _rights(path: Path) -> Finding:
    """Tell who may run, and who may replace, the file."""
    if os.name != "posix":
        return unknown("rights", f"who may replace {path} is decided by its folder's rights")
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if not mode & 0o111 and not path.suffix:
        what = f"{path} has mode {mode:04o}"
        return problem("rights", what, "nobody may run it", fix=f"chmod 755 {path}")
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
    return ok("rights", f"mode {mode:04o}, uid {found.st_uid}; only its owner can replace it")


def _kind(path: Path) -> Iterator[Finding]:
    try:
        found = read_executable(path)
    except OSError as error:
        why = error.strerror or str(error)
        yield unknown("architecture", f"{path} cannot be read", why, fix=_ROOT)
        return
    yield _architecture(path, found)
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


def _architecture(path: Path, found: Executable) -> Finding:
    if found.system == "script":
        return ok("architecture", "a script with a #! line")
    if not found.system:
        return warning(
            "architecture",
            f"{path} is neither an executable (ELF, PE, Mach-O) nor a script with a #! line",
            fix="the agent must find its interpreter by the extension",
        )
    machine = _MACHINES.get(platform.machine().lower(), platform.machine().lower())
    made = f"{found.system} on {' or '.join(sorted(found.machines))}"
    if found.system != os_name() or machine not in found.machines:
        return problem(
            "architecture",
            f"{path} was made for {made}",
            f"this is {os_name()} on {machine}",
            fix="build it on a machine of this kind",
        )
    return ok("architecture", f"made for {made}")


_ELF_MACHINES: Final = {
    0x03: "x86",
    0x28: "arm",
    0x3E: "x86_64",
    0xB7: "arm64",
    0xF3: "riscv64",
    0x15: "ppc64",
    0x16: "s390x",
}
_PE_MACHINES: Final = {0x14C: "x86", 0x8664: "x86_64", 0xAA64: "arm64"}
_MACH_MACHINES: Final = {0x7: "x86", 0x0100_0007: "x86_64", 0x0100_000C: "arm64"}
_MACH_MAGICS: Final = {b"\xcf\xfa\xed\xfe": "<", b"\xce\xfa\xed\xfe": "<", b"\xfe\xed\xfa\xcf": ">"}
_FAT_MAGIC: Final = b"\xca\xfe\xba\xbe"

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
        head = file.read(4096)
        size = file.seek(0, 2)
        file.seek(max(0, size - _LOOK_BACK_BYTES))
        tail = file.read()
        system, machines = _machines(head, file)
        packer = "PyInstaller" if _is_one_file(file, tail, size, path) else ""
        if not packer and system not in {"", "script"}:
            file.seek(0)
            packer = "Nuitka" if _NUITKA_ONE_FILE in file.read(_BOOTSTRAP_BYTES) else ""
    return Executable(system, frozenset(machines), packer)


def _machines(head: bytes, file: BinaryIO) -> tuple[str, set[str]]:
    """Return the system and its machines."""
    if head.startswith(b"#!"):
        return "script", set()
    if head.startswith(b"\x7fELF") and len(head) >= 20:
        order = "<" if head[5] == 1 else ">"
        return "linux", {_name(_ELF_MACHINES, struct.unpack_from(f"{order}H", head, 18)[0])}
    if head.startswith(b"MZ") and len(head) >= 64:
        file.seek(struct.unpack_from("<I", head, 60)[0])
        header = file.read(6)
        if header.startswith(b"PE\0\0") and len(header) == 6:
            return "windows", {_name(_PE_MACHINES, struct.unpack("<4xH", header)[0])}
    if head[:4] in _MACH_MAGICS and len(head) >= 8:
        (kind,) = struct.unpack_from(f"{_MACH_MAGICS[head[:4]]}I", head, 4)
        return "macOS", {_name(_MACH_MACHINES, kind)}
    if head.startswith(_FAT_MAGIC) and len(head) >= 8:
        return "macOS", _fat_machines(head)
    return "", set()


def _fat_machines(head: bytes) -> set[str]:
    (count,) = struct.unpack_from(">I", head, 4)
    if not 0 < count < 20:  # a Java class has the same magic, and its version here
        return set()
    offsets = range(8, min(8 + count * 20, len(head) - 4), 20)
    return {_name(_MACH_MACHINES, struct.unpack_from(">I", head, offset)[0]) for offset in offsets}


def _name(machines: dict[int, str], number: int) -> str:
    return machines.get(number, f"machine 0x{number:x}")


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
