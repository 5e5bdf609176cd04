"""The smallest program of Windows: it ends at once, with an exit code."""

from __future__ import annotations

import struct
from typing import Final

_HEADERS: Final = 0x200
_CODE_AT: Final = 0x1000


def program_that_ends(exit_code: int) -> bytes:
    """Return a console program for x64; what is appended to it does not matter.

    Its entry point returns the code, and with it the process ends. The layout is that of PE Format
    on learn.microsoft.com.
    """
    code = b"\xb8" + struct.pack("<I", exit_code) + b"\xc3"  # mov eax, exit_code; ret
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    # x64, one section, the size of the optional header, executable and large addresses.
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 0xF0, 0x22)
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        *(0x20B, 0, 0, 0x200, 0, 0, _CODE_AT, _CODE_AT),  # PE32+, sizes, entry point
        *(0x1_4000_0000, 0x1000, 0x200),  # base, alignment in memory and in the file
        *(6, 0, 0, 0, 6, 0, 0),  # versions of system, image and subsystem: Vista
        *(
            0x2000,
            _HEADERS,
            0,
            3,
            0x100,
        ),  # sizes of image and headers, console, no execution of data
        *(0x10_0000, 0x1000, 0x10_0000, 0x1000, 0, 16),  # stack, heap, tables
    ).ljust(0xF0, b"\0")
    section = b".text".ljust(8, b"\0") + struct.pack(
        "<IIIIIIHHI", len(code), _CODE_AT, 0x200, _HEADERS, 0, 0, 0, 0, 0x6000_0020
    )
    return (dos + coff + optional + section).ljust(_HEADERS, b"\0") + code.ljust(0x200, b"\0")
