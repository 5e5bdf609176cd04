"""Ask Windows (iphlpapi) and macOS (libproc) who holds a TCP socket.

Untested: written from the platforms' documentation (learn.microsoft.com: GetExtendedTcpTable,
GetTokenInformation; XNU: bsd/sys/proc_info.h). Only the parsing of their structures is tested.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

from epm_task.runtime.attestation import IPV4_LENGTH, Endpoint, SocketOwner, unmapped

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


class ForeignSocket(NamedTuple):
    """One TCP socket, as Windows and macOS describe it."""

    local: Endpoint
    remote: Endpoint
    listening: bool
    pid: int = 0
    #: Windows only: when the socket was bound, in FILETIME units of 100 ns; 0 when not known.
    created: int = 0


def listeners(address: bytes, port: int) -> list[SocketOwner]:
    """Return the owners of all listening sockets that could accept a connection to *address*."""
    ends = {(local, port) for local in (address, bytes(len(address)), bytes(16))}
    return [_owner(found) for found in _sockets() if found.listening and found.local in ends]


def owners(local: Endpoint, remote: Endpoint) -> list[SocketOwner]:
    """Return the owner of the connected socket at *local*, empty when there is none."""
    return [
        _owner(found)
        for found in _sockets()
        if not found.listening and (found.local, found.remote) == (local, remote) and found.pid
    ]


def peer_has_closed(_sock: socket.socket) -> bool:
    """Return False: these platforms tell it only by a read."""
    return False


def find_pid(_inode: int) -> int | None:
    """Return None: the owner has its process id already, and inodes are Linux's."""
    return None


# Windows: MIB_TCPROW_OWNER_MODULE, MIB_TCP6ROW_OWNER_MODULE (tcpmib.h); ports in network order.
_WINDOWS_IPV4 = struct.Struct("<I4s2s2x4s2s2xIQ128x")
_WINDOWS_IPV6 = struct.Struct("<16s4x2s2x16s4x2s2xIIQ128x")
_WINDOWS_FIRST_ROW = 8
_MIB_TCP_STATE_LISTEN = 2
_LOCAL_SYSTEM = "S-1-5-18"


def parse_windows_table(data: bytes, length: int) -> list[ForeignSocket]:
    """Return the rows of a TCP table with owner modules; *length* is that of an address."""
    layout = _WINDOWS_IPV4 if length == IPV4_LENGTH else _WINDOWS_IPV6
    (count,) = struct.unpack_from("<I", data)
    rows = []
    for index in range(count):
        fields = layout.unpack_from(data, _WINDOWS_FIRST_ROW + index * layout.size)
        if length == IPV4_LENGTH:
            state, address, port, other, other_port, pid, created = fields
        else:
            address, port, other, other_port, state, pid, created = fields
        ends = _end(address, port), _end(other, other_port)
        rows.append(ForeignSocket(*ends, state == _MIB_TCP_STATE_LISTEN, pid, created))
    return rows


def parse_sid(data: bytes) -> str:
    """Return the text form, `S-1-5-18`, of a binary security identifier."""
    revision, count = data[0], data[1]
    authority = int.from_bytes(data[2:8], "big")
    parts = struct.unpack_from(f"<{count}I", data, 8)
    return "-".join(["S", *map(str, (revision, authority, *parts))])


# macOS: socket_fdinfo (proc_info.h): kind of socket; other port, own port (network order), version
# flags, other address, own address, TCP state. The offsets hold on x86_64 and arm64.
_DARWIN_SOCKET = struct.Struct("<256xi4x2s2x2s2x16xB7x16s16s16xi444x")
_SOCKINFO_TCP = 2
_INI_IPV6 = 0x2
_TSI_S_LISTEN = 1


def parse_darwin_socket(data: bytes, pid: int) -> ForeignSocket | None:
    """Return the TCP socket that a `socket_fdinfo` describes, None for another kind."""
    kind, other_port, port, flags, other, address, state = _DARWIN_SOCKET.unpack(data)
    if kind != _SOCKINFO_TCP:
        return None
    # A dual-stack listener has both flags, and its address in the long form.
    start = 0 if flags & _INI_IPV6 else 16 - IPV4_LENGTH
    ends = _end(address[start:], port), _end(other[start:], other_port)
    return ForeignSocket(*ends, state == _TSI_S_LISTEN, pid)


def _end(address: bytes, port: bytes) -> Endpoint:
    return unmapped(address), int.from_bytes(port, "big")


if sys.platform == "win32":
    from ctypes import wintypes

    _AF_INET, _AF_INET6 = 2, 23
    _TCP_TABLE_OWNER_MODULE_ALL = 8
    _ERROR_INSUFFICIENT_BUFFER = 122
    _PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
    _TOKEN_QUERY = 0x0008
    _TOKEN_USER = 1
    #: Idle and System: sockets that are closing, and those of the kernel's own HTTP server.
    _KERNEL_PIDS = frozenset({0, 4})

    _iphlpapi = ctypes.WinDLL("iphlpapi")
    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
    _kernel32.OpenProcess.restype = wintypes.HANDLE
    _kernel32.GetCurrentProcess.restype = wintypes.HANDLE

    def _sockets() -> Iterator[ForeignSocket]:
        yield from parse_windows_table(_table(_AF_INET), 4)
        yield from parse_windows_table(_table(_AF_INET6), 16)

    def _table(family: int) -> bytes:
        size = wintypes.DWORD(0)
        code = _ERROR_INSUFFICIENT_BUFFER
        while code == _ERROR_INSUFFICIENT_BUFFER:  # the table may grow between two calls
            buffer = ctypes.create_string_buffer(size.value)
            code = _iphlpapi.GetExtendedTcpTable(
                buffer, ctypes.byref(size), 0, family, _TCP_TABLE_OWNER_MODULE_ALL, 0
            )
        if code:
            raise ctypes.WinError(code)
        return buffer.raw

    def _owner(found: ForeignSocket) -> SocketOwner:
        if found.pid in _KERNEL_PIDS:
            raise OSError("the socket belongs to the kernel, which may serve any user")
        handle = _kernel32.OpenProcess(_PROCESS_QUERY_LIMITED_INFORMATION, 0, found.pid)
        if not handle:
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            # The table keeps the creator's pid while a child holds the socket; the pid is reused.
            if _started(handle) > found.created:
                raise OSError(f"process {found.pid}, which made the socket, has ended")
            sid = _sid(handle)
        finally:
            _kernel32.CloseHandle(wintypes.HANDLE(handle))
        trusted = sid in {_LOCAL_SYSTEM, _sid(_kernel32.GetCurrentProcess())}
        return SocketOwner(trusted, sid, pid=found.pid)

    def _started(process: int) -> int:
        times = [wintypes.FILETIME() for _ in range(4)]
        if not _kernel32.GetProcessTimes(wintypes.HANDLE(process), *map(ctypes.byref, times)):
            raise ctypes.WinError(ctypes.get_last_error())
        return (times[0].dwHighDateTime << 32) | times[0].dwLowDateTime

    def _sid(process: int) -> str:
        token, size = wintypes.HANDLE(), wintypes.DWORD()
        if not _advapi32.OpenProcessToken(
            wintypes.HANDLE(process), _TOKEN_QUERY, ctypes.byref(token)
        ):
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            user = ctypes.create_string_buffer(256)  # TOKEN_USER with its SID: at most 84 bytes
            if not _advapi32.GetTokenInformation(
                token, _TOKEN_USER, user, len(user), ctypes.byref(size)
            ):
                raise ctypes.WinError(ctypes.get_last_error())
        finally:
            _kernel32.CloseHandle(token)
        start = ctypes.c_void_p.from_buffer(user).value or 0
        return parse_sid(user.raw[start - ctypes.addressof(user) :])

elif sys.platform == "darwin":
    _PROC_ALL_PIDS = 1
    _PROC_PIDLISTFDS = 1
    _PROC_PIDT_SHORTBSDINFO = 13
    _PROC_PIDFDSOCKETINFO = 3
    _PROX_FDTYPE_SOCKET = 2
    #: proc_bsdshortinfo: pid, parent, group, status, name; then flags, effective uid, six more.
    _SHORT_INFO = struct.Struct("<16x16x4xI24x")

    _libproc = ctypes.CDLL("/usr/lib/libproc.dylib", use_errno=True)
    _libproc.proc_pidinfo.argtypes = [
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_uint64,
        ctypes.c_void_p,
        ctypes.c_int,
    ]

    def _sockets() -> Iterator[ForeignSocket]:
        buffer = ctypes.create_string_buffer(_DARWIN_SOCKET.size)
        for pid in _pids():
            for number, kind in struct.iter_unpack("<iI", _info(pid, _PROC_PIDLISTFDS)):
                if kind == _PROX_FDTYPE_SOCKET and len(buffer) == _libproc.proc_pidfdinfo(
                    pid, number, _PROC_PIDFDSOCKETINFO, buffer, len(buffer)
                ):
                    found = parse_darwin_socket(buffer.raw, pid)
                    if found:
                        yield found

    def _pids() -> list[int]:
        size = _libproc.proc_listpids(_PROC_ALL_PIDS, 0, None, 0)
        if size <= 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        buffer = ctypes.create_string_buffer(size * 2)
        size = _libproc.proc_listpids(_PROC_ALL_PIDS, 0, buffer, len(buffer))
        return [pid for (pid,) in struct.iter_unpack("<i", buffer.raw[: size & ~3]) if pid]

    def _info(pid: int, flavor: int) -> bytes:
        size = _libproc.proc_pidinfo(pid, flavor, 0, None, 0)
        if size <= 0:  # another user's process, which we may not look into
            return b""
        buffer = ctypes.create_string_buffer(size * 2)
        size = _libproc.proc_pidinfo(pid, flavor, 0, buffer, len(buffer))
        return buffer.raw[: max(size, 0)]

    def _owner(found: ForeignSocket) -> SocketOwner:
        buffer = ctypes.create_string_buffer(_SHORT_INFO.size)
        if len(buffer) != _libproc.proc_pidinfo(
            found.pid, _PROC_PIDT_SHORTBSDINFO, 0, buffer, len(buffer)
        ):
            raise OSError(ctypes.get_errno(), f"process {found.pid} cannot be asked")
        (uid,) = _SHORT_INFO.unpack(buffer.raw)
        return SocketOwner(uid in {0, os.geteuid()}, f"uid {uid}", uid=uid, pid=found.pid)

else:

    def _sockets() -> Iterator[ForeignSocket]:
        raise OSError(f"{sys.platform} does not say who holds a socket")

    def _owner(found: ForeignSocket) -> SocketOwner:
        return SocketOwner(trusted=False, name="unknown", pid=found.pid)
