"""Ask Windows who holds a TCP socket: the extended table of iphlpapi, and the holder's token.

The layouts are those of learn.microsoft.com (GetExtendedTcpTable, MIB_TCPROW_OWNER_MODULE,
MIB_TCP6ROW_OWNER_MODULE, GetTokenInformation). Reading and judging the rows needs no Windows.
Whatever Windows does not say is an OSError, which the caller takes for a refusal: a task that runs
as a user may not look into a process of the system, and is given the agent's certificate instead.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.runtime.attestation import IPV4_LENGTH, Endpoint, SocketOwner, unmapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: State, own address and port, other address and port, pid, time of creation; ports are in network
#: order. What follows, 16 words of 64 bits, names the module. 160 bytes.
_IPV4 = struct.Struct("<I4s2s2x4s2s2xIQ128x")
#: Own address, scope and port, the other's, state, pid, time of creation, module. 192 bytes.
_IPV6 = struct.Struct("<16s4x2s2x16s4x2s2xIIQ128x")
#: The number of rows is followed by a gap, because rows hold words of 64 bits.
_FIRST_ROW = 8
#: `MIB_TCP_STATE` of tcpmib.h.
_LISTENING, _ESTABLISHED = 2, 5
_LOCAL_SYSTEM = "S-1-5-18"
#: Process 0 stands for none, as of sockets that are closing; 4 is the kernel, whose HTTP server
#: listens for programs of all users.
_NO_PID, _KERNEL_PID = 0, 4


#: Why nobody is known to have accepted a connection.
NOBODY: Final = "Windows names no process that has accepted the connection"


class TcpRow(NamedTuple):
    """One TCP socket."""

    local: Endpoint
    remote: Endpoint
    state: int
    #: The process that made the socket; 0 when there is none.
    pid: int
    #: When the socket was bound, in FILETIME units of 100 ns; 0 when not known.
    created: int

    @property
    def listening(self) -> bool:
        """Whether it accepts connections."""
        return self.state == _LISTENING


class Process(NamedTuple):
    """What Windows says of a living process."""

    #: Security identifier of its account.
    sid: str
    #: When it was started, in FILETIME units.
    started: int


def read_rows(table: bytes, length: int) -> list[TcpRow]:
    """Return the rows of a table of one of the classes TCP_TABLE_OWNER_MODULE_*.

    *length* is that of its addresses.
    """
    layout = _IPV4 if length == IPV4_LENGTH else _IPV6
    (count,) = struct.unpack_from("<I", table)
    rows = []
    for index in range(count):
        fields = layout.unpack_from(table, _FIRST_ROW + index * layout.size)
        if length == IPV4_LENGTH:
            state, address, port, other, other_port, pid, created = fields
        else:
            address, port, other, other_port, state, pid, created = fields
        rows.append(TcpRow(_end(address, port), _end(other, other_port), state, pid, created))
    return rows


def _end(address: bytes, port: bytes) -> Endpoint:
    return unmapped(address), int.from_bytes(port, "big")


def accepting(rows: Iterable[TcpRow], address: bytes, port: int) -> list[TcpRow]:
    """Return the listening rows that could accept a connection to *address*.

    Windows prefers the exact address (learn.microsoft.com: "Using SO_REUSEADDR and
    SO_EXCLUSIVEADDRUSE"), so a wildcard behind it gets no connection, and cannot stop a task.
    """
    listening = [row for row in rows if row.listening and row.local[1] == port]
    exact = [row for row in listening if row.local[0] == address]
    wildcards = {bytes(len(address)), bytes(16)}
    return exact or [row for row in listening if row.local[0] in wildcards]


def connected(rows: Iterable[TcpRow], local: Endpoint, remote: Endpoint) -> TcpRow | None:
    """Return the row of the connection with these ends, None when there is none."""
    ends = local, remote
    found = (row for row in rows if (row.local, row.remote) == ends and not row.listening)
    return next(found, None)


def owner_of(row: TcpRow, look: Callable[[int], Process], own_sid: str) -> SocketOwner:
    """Return who holds a socket; *look* returns the living process with a pid, or raises OSError.

    Raises:
        OSError: That cannot be told, or it is everybody.
    """
    if row.pid == _NO_PID:
        raise OSError("Windows names no process that holds the socket")
    if row.pid == _KERNEL_PID:
        raise OSError("the socket belongs to the kernel, which may serve any user")
    process = look(row.pid)
    if not row.created:
        raise OSError(f"Windows does not say whether process {row.pid} is older than the socket")
    # The table keeps the maker's pid while a child holds the socket, and the pid is used again.
    if process.started > row.created:
        raise OSError(f"process {row.pid}, which made the socket, has ended")
    return SocketOwner(process.sid in {_LOCAL_SYSTEM, own_sid}, process.sid, pid=row.pid)


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    from epm_task.windows_security import this_user, user_of

    _AF_INET, _AF_INET6 = 2, 23
    #: `TCP_TABLE_CLASS` of iprtrmib.h. Whole tables have each connection that has ended lately too.
    _OF_LISTENERS, _OF_CONNECTIONS, _OF_ALL = 6, 7, 8
    #: In bytes: that of 400 connections; the kernel says when it is too small.
    _USUAL_TABLE = 65_536
    _ERROR_INSUFFICIENT_BUFFER = 122
    _PROCESS_QUERY_LIMITED_INFORMATION = 0x1000

    _iphlpapi = ctypes.WinDLL("iphlpapi")
    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.OpenProcess.restype = wintypes.HANDLE

    def listeners(address: bytes, port: int) -> list[SocketOwner]:
        """Return the owners of the listening sockets that could accept a connection.

        Raises:
            OSError: Windows does not say who one of them is.
        """
        return [_owner(row) for row in accepting(rows(_OF_LISTENERS), address, port)]

    def owners(local: Endpoint, remote: Endpoint) -> list[SocketOwner]:
        """Return the owner of the connected socket at *local*, empty while it has no process.

        Raises:
            OSError: Windows does not say who it is.
        """
        row = connected(rows(_OF_CONNECTIONS), local, remote)
        return [_owner(row)] if row and row.pid else []

    def holder(local: Endpoint, remote: Endpoint) -> int:
        """Return the process that made the connected socket at *local*, 0 when there is none.

        Raises:
            OSError: The table cannot be read.
        """
        row = connected(rows(_OF_CONNECTIONS), local, remote)
        return row.pid if row else 0

    def peer_has_closed(sock: socket.socket) -> bool:
        """Tell whether the kernel has seen the other end of *sock* close."""
        try:
            ends = sock.getsockname()[:2], sock.getpeername()[:2]
        except OSError:  # it was reset
            return True
        own, other = ((unmapped(socket.inet_pton(sock.family, host)), at) for host, at in ends)
        row = connected(rows(_OF_CONNECTIONS), own, other)
        return row is None or row.state != _ESTABLISHED

    def rows(kind: int = _OF_ALL) -> Iterator[TcpRow]:
        """Yield the TCP sockets of the machine, those with addresses of IPv4 first.

        Raises:
            OSError: The table cannot be read.
        """
        yield from read_rows(_table(kind, _AF_INET), IPV4_LENGTH)
        yield from read_rows(_table(kind, _AF_INET6), 16)

    def _table(kind: int, family: int) -> bytes:
        size = wintypes.DWORD(_USUAL_TABLE)
        code = _ERROR_INSUFFICIENT_BUFFER
        while code == _ERROR_INSUFFICIENT_BUFFER:  # the table may grow between two calls
            buffer = ctypes.create_string_buffer(size.value)
            code = _iphlpapi.GetExtendedTcpTable(buffer, ctypes.byref(size), 0, family, kind, 0)
        if code:
            raise ctypes.WinError(code)
        return buffer.raw

    def _owner(row: TcpRow) -> SocketOwner:
        return owner_of(row, look_at, this_user())

    def look_at(pid: int) -> Process:
        """Return what this user may know of a living process.

        Raises:
            OSError: It has ended, or this user may not look into it.
        """
        handle = _kernel32.OpenProcess(_PROCESS_QUERY_LIMITED_INFORMATION, 0, pid)
        try:
            if not handle:
                raise ctypes.WinError(ctypes.get_last_error())
            return Process(user_of(handle), _started(handle))
        except OSError as error:
            raise OSError(f"process {pid} may not be looked into: {error.strerror}") from error
        finally:
            if handle:
                _kernel32.CloseHandle(wintypes.HANDLE(handle))

    def _started(handle: int) -> int:
        times = [wintypes.FILETIME() for _ in range(4)]
        if not _kernel32.GetProcessTimes(wintypes.HANDLE(handle), *map(ctypes.byref, times)):
            raise ctypes.WinError(ctypes.get_last_error())
        return (times[0].dwHighDateTime << 32) | times[0].dwLowDateTime
