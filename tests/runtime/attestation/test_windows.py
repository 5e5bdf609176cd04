"""Rows of Windows' table of TCP sockets: how they are read, which counts, and who is trusted.

What is read here is made by `ctypes` from the fields of the headers, and was written by a system. A
test on Windows reads its own sockets back.
"""

from __future__ import annotations

import base64
import ctypes
import os
import socket
import sys
import time
import zlib
from typing import TYPE_CHECKING

import pytest

from epm_task.runtime.attestation.windows import (
    Process,
    TcpRow,
    accepting,
    connected,
    owner_of,
    read_rows,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

ANY, ANY_6 = bytes(4), bytes(16)
LOOPBACK = socket.inet_aton("127.0.0.1")
LOOPBACK_6 = bytes(15) + b"\x01"
LISTENING, ESTABLISHED, CLOSE_WAIT = 2, 5, 8
SYSTEM, OWN, OTHER = "S-1-5-18", "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"


def _port(number: int) -> int:
    return socket.htons(number)


class WindowsRow(ctypes.LittleEndianStructure):
    """MIB_TCPROW_OWNER_MODULE, field by field from tcpmib.h."""

    _fields_ = [
        ("dwState", ctypes.c_uint32),
        ("dwLocalAddr", ctypes.c_uint8 * 4),
        ("dwLocalPort", ctypes.c_uint32),
        ("dwRemoteAddr", ctypes.c_uint8 * 4),
        ("dwRemotePort", ctypes.c_uint32),
        ("dwOwningPid", ctypes.c_uint32),
        ("liCreateTimestamp", ctypes.c_uint64),
        ("OwningModuleInfo", ctypes.c_uint64 * 16),
    ]


class WindowsRow6(ctypes.LittleEndianStructure):
    """MIB_TCP6ROW_OWNER_MODULE, field by field from tcpmib.h."""

    _fields_ = [
        ("ucLocalAddr", ctypes.c_uint8 * 16),
        ("dwLocalScopeId", ctypes.c_uint32),
        ("dwLocalPort", ctypes.c_uint32),
        ("ucRemoteAddr", ctypes.c_uint8 * 16),
        ("dwRemoteScopeId", ctypes.c_uint32),
        ("dwRemotePort", ctypes.c_uint32),
        ("dwState", ctypes.c_uint32),
        ("dwOwningPid", ctypes.c_uint32),
        ("liCreateTimestamp", ctypes.c_uint64),
        ("OwningModuleInfo", ctypes.c_uint64 * 16),
    ]


def _windows_table(rows: Sequence[ctypes.LittleEndianStructure]) -> bytes:
    class Table(ctypes.LittleEndianStructure):
        _fields_ = [("dwNumEntries", ctypes.c_uint32), ("table", type(rows[0]) * len(rows))]

    return bytes(Table(len(rows), (type(rows[0]) * len(rows))(*rows)))


def test_ipv4_rows_are_read() -> None:
    """State, both ends, pid and time stand where a C compiler puts them."""
    ends = (ctypes.c_uint8 * 4)(*LOOPBACK), (ctypes.c_uint8 * 4)(*LOOPBACK)
    rows = [
        WindowsRow(2, ends[0], _port(6889), (ctypes.c_uint8 * 4)(), 0, 1234, 99),
        WindowsRow(5, ends[0], _port(6889), ends[1], _port(50000), 1235, 2**40),
    ]
    listener, connection = read_rows(_windows_table(rows), 4)
    assert listener == ((LOOPBACK, 6889), (ANY, 0), LISTENING, 1234, 99)
    assert connection == ((LOOPBACK, 6889), (LOOPBACK, 50000), ESTABLISHED, 1235, 2**40)


def test_ipv6_rows_are_read() -> None:
    """The IPv6 row has another order, and a mapped address becomes the IPv4 one."""
    mapped = (ctypes.c_uint8 * 16)(*(bytes(10) + b"\xff\xff" + LOOPBACK))
    rows = [
        WindowsRow6((ctypes.c_uint8 * 16)(*LOOPBACK_6), 7, _port(6889), dwState=2, dwOwningPid=8),
        WindowsRow6(mapped, 0, _port(6889), mapped, 0, _port(1), 5, 9, 10),
    ]
    listener, connection = read_rows(_windows_table(rows), 16)
    assert listener == ((LOOPBACK_6, 6889), (ANY_6, 0), LISTENING, 8, 0)
    assert connection == ((LOOPBACK, 6889), (LOOPBACK, 1), ESTABLISHED, 9, 10)


#: A listener, and both ends of a connection to it, as Wine 8 writes them: without any time of
#: creation, and without the pid of sockets that accept.
WRITTEN = "eNpjZoAAJiCuZ2BgnPufYVACViT3gegbWwan+0DugrlTYRC5DwB3UQqc"
WRITTEN_6 = "eNpjZsAKGBkEGBhWlDLgBEwMgxqA3X80BLe/WIeA+7GEP9xfg839AFXzBe4="


def test_a_table_that_a_system_wrote_is_read() -> None:
    """The rows begin after a gap, and each has the length of its header."""
    table, table_6 = (zlib.decompress(base64.b64decode(text)) for text in (WRITTEN, WRITTEN_6))
    assert (len(table), len(table_6)) == (8 + 3 * 160, 8 + 3 * 192)
    server, client = (LOOPBACK, 40447), (LOOPBACK, 55476)
    assert read_rows(table, 4) == [
        (server, (ANY, 0), LISTENING, 0, 0),
        (server, client, ESTABLISHED, 0, 0),
        (client, server, ESTABLISHED, 32, 0),
    ]
    server, client = (LOOPBACK_6, 43125), (LOOPBACK_6, 50516)
    assert read_rows(table_6, 16) == [
        (server, (ANY_6, 0), LISTENING, 0, 0),
        (client, server, ESTABLISHED, 0, 0),
        (server, client, ESTABLISHED, 0, 0),
    ]


def _listener(address: bytes, pid: int = 8, port: int = 6889) -> TcpRow:
    return TcpRow((address, port), (bytes(len(address)), 0), LISTENING, pid, 100)


@pytest.mark.parametrize(
    ("rows", "address", "pids"),
    [
        ([(ANY, 1), (ANY_6, 2), (LOOPBACK_6, 3)], LOOPBACK, [1, 2]),
        ([(ANY, 1), (ANY_6, 2), (LOOPBACK, 3)], LOOPBACK, [3]),
        ([(LOOPBACK, 1), (LOOPBACK, 2)], LOOPBACK, [1, 2]),
        ([(ANY, 1), (ANY_6, 2), (LOOPBACK, 3)], LOOPBACK_6, [2]),
        ([(ANY, 1), (ANY_6, 2), (LOOPBACK_6, 3)], LOOPBACK_6, [3]),
        ([(b"\xc0\x00\x02\x01", 1)], LOOPBACK, []),
    ],
)
def test_listeners_that_could_accept(
    rows: list[tuple[bytes, int]], address: bytes, pids: list[int]
) -> None:
    """The exact address is preferred; else every wildcard counts, `::` for IPv4 too."""
    listening = [_listener(*row) for row in rows]
    others = [
        _listener(address, 90, port=6890),
        TcpRow((address, 6889), (address, 50000), ESTABLISHED, 91, 100),
    ]
    assert [row.pid for row in accepting([*others, *listening], address, 6889)] == pids


def test_connection_is_known_by_both_ends() -> None:
    """Neither its other end, nor another connection of the same port, nor a listener is taken."""
    ours, theirs = (LOOPBACK, 6889), (LOOPBACK, 50000)
    wanted = TcpRow(ours, theirs, CLOSE_WAIT, 8, 100)
    rows = [
        TcpRow(theirs, ours, ESTABLISHED, 1, 100),
        TcpRow(ours, (LOOPBACK, 50001), ESTABLISHED, 2, 100),
        TcpRow(ours, theirs, LISTENING, 3, 100),
        wanted,
    ]
    assert connected(rows, ours, theirs) is wanted
    assert connected(rows[:3], ours, theirs) is None


@pytest.mark.parametrize(
    ("sid", "trusted"),
    [(SYSTEM, True), (OWN, True), (OTHER, False), ("S-1-5-19", False), ("S-1-5-32-544", False)],
)
def test_the_system_and_our_own_user_are_trusted(sid: str, *, trusted: bool) -> None:
    """LocalSystem's and our own process; no other service account, and no group."""
    owner = owner_of(_listener(LOOPBACK), lambda _: Process(sid, 100), OWN)
    assert owner == (trusted, sid, -1, 8, 0)


def _protected(pid: int) -> Process:
    raise PermissionError(f"process {pid} may not be looked into")


@pytest.mark.parametrize(
    ("row", "process", "why"),
    [
        (_listener(LOOPBACK, 0), Process(OWN, 1), "names no process"),
        (_listener(LOOPBACK, 4), Process(SYSTEM, 1), "belongs to the kernel"),
        (_listener(LOOPBACK, 8), None, "process 8 may not be looked into"),
        (_listener(LOOPBACK, 8), Process(OWN, 101), "process 8, which made the socket, has ended"),
        (_listener(LOOPBACK, 8)._replace(created=0), Process(OWN, 1), "process 8 is older"),
    ],
)
def test_what_windows_does_not_say_is_refused(
    row: TcpRow, process: Process | None, why: str
) -> None:
    """No process, everybody's, a protected one, one that took over the pid, no time."""
    look = _protected if process is None else lambda _: process
    with pytest.raises(OSError, match=why):
        owner_of(row, look, OWN)


if sys.platform == "win32":
    from epm_task.runtime.attestation import windows

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
    def test_own_sockets_are_found_in_the_table(host: str) -> None:
        """A listener and both ends of its connection; the peer's end tells that it has closed."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        with (
            socket.create_server((host, 0), family=family) as server,
            socket.create_connection((reached, server.getsockname()[1])) as client,
            server.accept()[0] as other,
        ):
            table = list(windows.rows())
            address, port = socket.inet_pton(family, host), server.getsockname()[1]
            assert [row.local for row in accepting(table, address, port)] == [(address, port)]
            ends = [
                (socket.inet_pton(family, name), at)
                for name, at in (client.getsockname()[:2], client.getpeername()[:2])
            ]
            for row in (connected(table, *ends), connected(table, *ends[::-1])):
                assert row is not None
                assert row.state == ESTABLISHED
                assert row.pid in {0, os.getpid()}
            assert not windows.peer_has_closed(client)
            other.close()
            assert windows.peer_has_closed(client)

    def test_own_process_is_known() -> None:
        """Its account has a security identifier, and it was started a moment ago."""
        process = windows.look_at(os.getpid())
        assert process.sid.startswith("S-1-5-")
        since_1601 = (time.time() + 11_644_473_600) * 10_000_000
        assert since_1601 - 36_000_000_000 < process.started < since_1601

    @pytest.mark.parametrize("pid", [0, 99_999_999])
    def test_a_process_that_cannot_be_opened_is_named(pid: int) -> None:
        """Windows' own words follow."""
        with pytest.raises(OSError, match=f"process {pid} may not be looked into: .+"):
            windows.look_at(pid)
