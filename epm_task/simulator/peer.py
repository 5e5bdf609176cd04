"""A peer is the process at the other end of a TCP connection on this machine.

On Linux the kernel's socket diagnostics name the inode of exactly one connection, and only the open
files of the candidate processes are compared with it: no scan of all processes, no rights needed.
Elsewhere psutil lists the candidates' connections (untested here).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Collection

Address = tuple[str, int]

# linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_ALL_STATES: Final = 0xFFFFFFFF
#: ENOENT: no such socket.
_NO_SUCH_SOCKET: Final = frozenset({errno.ENOENT})
_NO_COOKIE: Final = b"\xff" * 8
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")
_PORTS: Final = struct.Struct("!HH")
#: Offset of `idiag_inode`, the last field of `struct inet_diag_msg`.
_INODE_AT: Final = _HEADER.size + 68
_ANSWER_BYTES: Final = 4096


def peer_pid(local: Address, peer: Address, candidates: Collection[int]) -> int | None:
    """Return which of *candidates* holds the far end of a connection, or None.

    Args:
        local: Our own address of the connection (`getsockname`).
        peer: The far end's address (`getpeername`).
        candidates: PIDs worth looking at.
    """
    if not candidates:
        return None
    if sys.platform != "linux":
        return _by_psutil(local, peer, candidates)
    try:
        inode = _inode(peer, local)
    except OSError:
        # A sandbox may forbid netlink; psutil reads /proc/net/tcp instead, slower.
        return _by_psutil(local, peer, candidates)
    return _holder(inode, candidates) if inode else None


def _inode(source: Address, destination: Address) -> int:
    """Return the inode of the socket from *source* to *destination*, or 0 when there is none."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(1.0)
        netlink.sendto(_question(source, destination), (0, 0))
        answer = netlink.recv(_ANSWER_BYTES)
    kind = _HEADER.unpack_from(answer)[1]
    if kind == _NLMSG_ERROR:
        (negative,) = struct.unpack_from("=i", answer, _HEADER.size)
        if -negative in _NO_SUCH_SOCKET:
            return 0
        raise OSError(-negative, os.strerror(-negative))
    return int(struct.unpack_from("=I", answer, _INODE_AT)[0])


def _question(source: Address, destination: Address) -> bytes:
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    identity = b"".join(
        (
            _PORTS.pack(source[1], destination[1]),
            socket.inet_pton(family, source[0]).ljust(16, b"\0"),
            socket.inet_pton(family, destination[0]).ljust(16, b"\0"),
            bytes(4),
            _NO_COOKIE,
        )
    )
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES) + identity
    size = _HEADER.size + len(body)
    return _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + body


def _holder(inode: int, candidates: Collection[int]) -> int | None:
    wanted = f"socket:[{inode}]"
    # The newest process is the likeliest to have just connected.
    for pid in sorted(candidates, reverse=True):
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names only, 3x faster
        except OSError:
            continue
        if any(_target(f"{folder}/{name}") == wanted for name in names):
            return pid
    return None


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - a Path per open file costs more than the call
    except OSError:
        return ""


def _by_psutil(local: Address, peer: Address, candidates: Collection[int]) -> int | None:
    for pid in sorted(candidates, reverse=True):
        try:
            connections = psutil.Process(pid).net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(tuple(c.laddr) == peer and tuple(c.raddr) == local for c in connections):
            return pid
    return None
