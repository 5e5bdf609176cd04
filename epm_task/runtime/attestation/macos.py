"""Ask macOS (libproc) who holds a TCP socket.

Unproven: written from XNU's headers (bsd/sys/proc_info.h), and only the reading of its structures
is tested. It fails closed: what macOS does not say, such as the sockets of another user's process
to a task that is not root, ends in a refusal before the first request.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.runtime.attestation import IPV4_LENGTH, Endpoint, SocketOwner, unmapped

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


#: Why nobody is known to have accepted a connection.
NOBODY: Final = "no process that this user may see has accepted the connection"


class TcpSocket(NamedTuple):
    """One TCP socket of a process that this user may look into."""

    local: Endpoint
    remote: Endpoint
    listening: bool
    pid: int


def listeners(address: bytes, port: int) -> list[SocketOwner]:
    """Return the owners of all listening sockets that could accept a connection to *address*.

    Raises:
        OSError: The system does not say who holds sockets.
    """
    ends = {(local, port) for local in (address, bytes(len(address)), bytes(16))}
    return [_owner(found) for found in _sockets() if found.listening and found.local in ends]


def owners(local: Endpoint, remote: Endpoint) -> list[SocketOwner]:
    """Return the owners of the connected socket at *local*, empty when none can be seen.

    Raises:
        OSError: The system does not say who holds sockets.
    """
    return [
        _owner(found)
        for found in _sockets()
        if not found.listening and (found.local, found.remote) == (local, remote)
    ]


def peer_has_closed(_sock: socket.socket) -> bool:
    """Return False: macOS tells it only by a read."""
    return False


#: socket_fdinfo: kind of socket; other port, own port (network order), version flags, other
#: address, own address, TCP state. The offsets hold on x86_64 and arm64.
_SOCKET = struct.Struct("<256xi4x2s2x2s2x16xB7x16s16s16xi444x")
_SOCKINFO_TCP = 2
_INI_IPV6 = 0x2
_TSI_S_LISTEN = 1


def read_socket(data: bytes, pid: int) -> TcpSocket | None:
    """Return the TCP socket that a `socket_fdinfo` describes, None for another kind."""
    kind, other_port, port, flags, other, address, state = _SOCKET.unpack(data)
    if kind != _SOCKINFO_TCP:
        return None
    # A dual-stack listener has both flags, and its address in the long form.
    start = 0 if flags & _INI_IPV6 else 16 - IPV4_LENGTH
    ends = _end(address[start:], port), _end(other[start:], other_port)
    return TcpSocket(*ends, state == _TSI_S_LISTEN, pid)


def _end(address: bytes, port: bytes) -> Endpoint:
    return unmapped(address), int.from_bytes(port, "big")


if sys.platform == "darwin":
    import ctypes
    import os

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

    def _sockets() -> Iterator[TcpSocket]:
        buffer = ctypes.create_string_buffer(_SOCKET.size)
        for pid in _pids():
            for number, kind in struct.iter_unpack("<iI", _info(pid, _PROC_PIDLISTFDS)):
                if kind == _PROX_FDTYPE_SOCKET and len(buffer) == _libproc.proc_pidfdinfo(
                    pid, number, _PROC_PIDFDSOCKETINFO, buffer, len(buffer)
                ):
                    found = read_socket(buffer.raw, pid)
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

    def _owner(found: TcpSocket) -> SocketOwner:
        buffer = ctypes.create_string_buffer(_SHORT_INFO.size)
        if len(buffer) != _libproc.proc_pidinfo(
            found.pid, _PROC_PIDT_SHORTBSDINFO, 0, buffer, len(buffer)
        ):
            raise OSError(ctypes.get_errno(), f"process {found.pid} cannot be asked")
        (uid,) = _SHORT_INFO.unpack(buffer.raw)
        return SocketOwner(uid in {0, os.geteuid()}, f"uid {uid}", uid=uid, pid=found.pid)

else:

    def _sockets() -> Iterator[TcpSocket]:
        raise OSError(f"{sys.platform} does not say who holds a socket")

    def _owner(found: TcpSocket) -> SocketOwner:
        return SocketOwner(trusted=False, name="unknown", pid=found.pid)
