"""The netlink family SOCK_DIAG answers questions about single TCP sockets (`man 7 sock_diag`)."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

from epm_task.runtime.attestation.sockets import IPV4_LENGTH, TcpRow, unmapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.runtime.attestation.sockets import Endpoint

# linux/netlink.h, linux/sock_diag.h, linux/tcp_states.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST, _DUMP = 0x001, 0x300
_ERROR, _DONE = 2, 3
_TCP_LISTEN = 10

#: nlmsghdr: length, type, flags, sequence, port id.
_HEADER = struct.Struct("=IHHII")
#: inet_diag_req_v2: family, protocol, extensions, states; then inet_diag_sockid: own port, other
#: port (both in network order), own address, other address, interface, cookie.
_QUESTION = struct.Struct("=BBBxI2s2s16s16sI8s")
#: inet_diag_msg: family, state, timer, retransmits; the same sockid; expiry, queues, uid, inode.
_ANSWER = struct.Struct("=BBxx2s2s16s16sI8sIIIII")
_NO_COOKIE = b"\xff" * 8
#: The kernel answers at once; a second only bounds what cannot happen.
_TIMEOUT_SECONDS = 1.0


def listening(port: int) -> list[TcpRow]:
    """Return every socket that listens on *port*; raises OSError where netlink is closed."""
    states = 1 << _TCP_LISTEN
    rows: list[TcpRow] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        question = _question(family, states, (b"", port), (b"", 0))
        rows += (row for state, row in _ask(question, _REQUEST | _DUMP) if state == _TCP_LISTEN)
    return rows


def connected(local: Endpoint, remote: Endpoint) -> list[TcpRow]:
    """Return the socket whose own end is *local*; raises OSError where netlink is closed."""
    family = socket.AF_INET if len(local[0]) == IPV4_LENGTH else socket.AF_INET6
    question = _question(family, 0xFFFF_FFFF, local, remote)
    # Without a connected socket the kernel offers the listener, which is no answer here.
    return [row for state, row in _ask(question, _REQUEST) if state != _TCP_LISTEN]


def _question(family: int, states: int, local: Endpoint, remote: Endpoint) -> bytes:
    ports = (end[1].to_bytes(2, "big") for end in (local, remote))
    addresses = (local[0], remote[0])
    protocol = socket.IPPROTO_TCP
    return _QUESTION.pack(family, protocol, 0, states, *ports, *addresses, 0, _NO_COOKIE)


def _ask(question: bytes, flags: int) -> Iterator[tuple[int, TcpRow]]:
    length = _HEADER.size + len(question)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(_TIMEOUT_SECONDS)
        kernel.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, flags, 1, 0) + question)
        more = True
        while more:
            data, (sender, _) = kernel.recvfrom(65536)
            if sender != 0:  # only the kernel has port id 0
                continue
            more = bool(flags & _DUMP)
            for kind, body in _messages(data):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    _raise_unless_absent(body, dump=more)
                    return
                yield parse(body)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _raise_unless_absent(body: bytes, *, dump: bool) -> None:
    code = -int(struct.unpack_from("=i", body)[0])
    # A dump of nothing ends with DONE; ENOENT then means that the module tcp_diag is absent.
    if dump or code != errno.ENOENT:
        raise OSError(code, os.strerror(code))


def parse(body: bytes) -> tuple[int, TcpRow]:
    """Return the state and the row of one answer."""
    family, state, _, _, address, _, _, _, _, _, _, uid, inode = _ANSWER.unpack_from(body)
    local = address[:4] if family == socket.AF_INET else unmapped(address)
    return state, TcpRow(local, uid, inode)
