"""Read what kind of file a program is, and for which systems and machines it is made.

The headers are those of the formats' own documents: ELF (elf.h), PE (winnt.h), Mach-O (loader.h and
fat.h). A `#!` line is read as Linux reads it, execve(2).
"""

from __future__ import annotations

import os
import platform
import struct
from typing import BinaryIO, Final

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
#: What `platform.machine()` says, in the words of the formats.
_MACHINES: Final = {"amd64": "x86_64", "aarch64": "arm64", "i386": "x86", "i686": "x86"}

#: Enough for each header, and for a `#!` line, of which Linux reads 256 bytes.
HEAD_BYTES: Final = 4096
SHEBANG_BYTES: Final = 256


def this_machine() -> str:
    """Return the machine that this is, as `machines_of` names it."""
    return _MACHINES.get(platform.machine().lower(), platform.machine().lower())


def machines_of(head: bytes, file: BinaryIO) -> tuple[str, set[str]]:
    """Return the system that an executable is made for, `script` or "", and its machines."""
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


def oddity_of(head: bytes) -> tuple[str, str]:
    """Return what is wrong with a file that is neither an executable nor a script, and the fix."""
    if not head:
        return "it is empty", "build it, or copy it, again"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is text in UTF-16", "save it as UTF-8 without a byte order mark"
    if head.startswith(b"\xef\xbb\xbf#!"):
        why = "a byte order mark precedes its #! line"
        return why, "save it as UTF-8 without a byte order mark"
    if head.lstrip().startswith(b"#!"):
        return "its #! line is not at the very beginning", "delete what precedes it"
    if b"\0" in head or not head.isascii():
        why = "it is neither an executable (ELF, PE, Mach-O) nor a script with a #! line"
        return why, "build it, or copy it, again"
    return (
        "it is text without a #! line",
        "begin it with #!/bin/sh, or with the interpreter that it is written for",
    )


def loader_of(head: bytes) -> str:
    """Return the program that loads a 64-bit executable of Linux, "" when none is seen."""
    if head[4] != 2 or len(head) < 64:
        return ""
    order = "<" if head[5] == 1 else ">"
    (first,) = struct.unpack_from(f"{order}Q", head, 32)
    size, count = struct.unpack_from(f"{order}HH", head, 54)
    for place in range(first, min(first + size * count, len(head) - 55), size or 1):
        kind, _, offset, _, _, length = struct.unpack_from(f"{order}IIQQQQ", head, place)
        if kind == 3:  # PT_INTERP
            return os.fsdecode(head[offset : offset + length].split(b"\0")[0])
    return ""


def shebang(head: bytes) -> list[str]:
    """Return the words of a `#!` line; of what follows the interpreter, Linux makes one argument.

    Without such a line there are none.
    """
    line = head[2:SHEBANG_BYTES] if head.startswith(b"#!") else b""
    line = line.split(b"\n", 1)[0].split(b"\0", 1)[0].strip(b" \t")
    words = line.replace(b"\t", b" ").split(b" ", 1)
    return [os.fsdecode(word.strip(b" ")) for word in words if word]
