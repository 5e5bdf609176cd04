"""The files /proc/net/tcp and tcp6 list every TCP socket of a network namespace.

One row per socket: slot, own end, other end, state, queues, timers, uid, timeout, inode. An address
is written as 32-bit words in the byte order of the machine (Documentation/networking/proc_net_tcp).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from epm_task.runtime.attestation.sockets import TcpRow, mapped, unmapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.runtime.attestation.sockets import Endpoint

#: The calling thread's own namespace; /proc/net would be that of the process's first thread.
_FOLDER = "/proc/thread-self/net/"
_LISTEN = "0A"


def listening(port: int) -> list[TcpRow]:
    """Return every socket that listens on *port*; raises OSError without /proc."""
    needles = (f":{port:04X} {'0' * digits}:0000 {_LISTEN} " for digits in (8, 32))
    return _rows(needles)


def connected(local: Endpoint, remote: Endpoint) -> list[TcpRow]:
    """Return the socket whose own end is *local*; raises OSError without /proc."""
    pairs = {(local[0], remote[0]), (mapped(local[0]), mapped(remote[0]))}
    needles = (f" {_hex(a)}:{local[1]:04X} {_hex(b)}:{remote[1]:04X} " for a, b in pairs)
    return _rows(needles)


def _rows(needles: Iterator[str]) -> list[TcpRow]:
    table = _table()
    return [parse(line) for needle in needles for line in _lines(table, needle.encode("ascii"))]


def _table() -> bytes:
    with open(_FOLDER + "tcp", "rb", buffering=0) as file:  # noqa: PTH123 - pathlib costs 5 ms to import
        table = file.read()
    try:
        with open(_FOLDER + "tcp6", "rb", buffering=0) as file:  # noqa: PTH123 - as above
            return table + file.read()
    except FileNotFoundError:  # the kernel has no IPv6
        return table


def _lines(table: bytes, needle: bytes) -> Iterator[bytes]:
    # Thousands of rows are searched as one piece: splitting them would cost more than reading.
    found = table.find(needle)
    while found >= 0:
        end = table.find(b"\n", found)
        yield table[table.rfind(b"\n", 0, found) + 1 : end if end >= 0 else len(table)]
        found = table.find(needle, found + 1)


def parse(line: bytes) -> TcpRow:
    """Return the row that one line of the file describes."""
    fields = line.split()
    local = bytes.fromhex(fields[1].partition(b":")[0].decode("ascii"))
    return TcpRow(unmapped(_swapped(local)), int(fields[7]), int(fields[9]))


def _hex(packed: bytes) -> str:
    return _swapped(packed).hex().upper()


def _swapped(packed: bytes) -> bytes:
    if sys.byteorder == "big":
        return packed
    return b"".join(packed[i : i + 4][::-1] for i in range(0, len(packed), 4))
