"""Ask the Linux kernel who holds a TCP socket: over netlink, or else in the files of /proc."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.runtime.attestation import IPV4_LENGTH, SocketOwner, unmapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from epm_task.runtime.attestation import Endpoint

_ANY_IPV4 = bytes(4)
_ANY_IPV6 = bytes(16)
#: `TCP_ESTABLISHED` of linux/tcp_states.h, as `tcpi_state` gives it.
_ESTABLISHED = 1
#: Why nobody is known to have accepted a connection.
NOBODY: Final = "no process of this network namespace has accepted the connection"


class TcpRow(NamedTuple):
    """The facts of one socket that tell its owner."""

    #: The socket's own address, of 4 or 16 bytes.
    local: bytes
    uid: int
    #: 0 while no process holds the socket: not accepted yet, or closed already.
    inode: int


class Source(NamedTuple):
    """A way to read the kernel's socket table; both functions raise OSError when it is closed."""

    #: Returns every socket that listens on a port.
    listening: Callable[[int], list[TcpRow]]
    #: Returns the socket with these two ends, its own first.
    connected: Callable[[Endpoint, Endpoint], list[TcpRow]]


def listeners(
    address: bytes, port: int, *, sources: Iterable[Source] | None = None
) -> list[SocketOwner]:
    """Return the owners of the listening sockets that would accept a connection to *address*."""
    error = OSError("no source for the socket table was given")
    for source in SOURCES if sources is None else sources:
        try:
            return [_owner(row) for row in _accepting(source.listening(port), address)]
        except OSError as problem:
            error = problem
    raise error


def owners(
    local: Endpoint, remote: Endpoint, *, sources: Iterable[Source] | None = None
) -> list[SocketOwner]:
    """Return the owner of the accepted socket at *local*, empty while no process holds it."""
    error: OSError | None = None
    for source in SOURCES if sources is None else sources:
        try:
            # No row says nothing yet: netlink says "not found" also when its module is absent.
            if rows := [row for row in source.connected(local, remote) if row.inode]:
                return [_owner(row) for row in rows]
        except OSError as problem:
            error = problem
        else:
            error = None
    if error:
        raise error
    return []


def peer_has_closed(sock: socket.socket) -> bool:
    """Tell whether the kernel has seen the other end of *sock* close."""
    state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return state[0] != _ESTABLISHED


def find_pid(inode: int) -> int | None:
    """Return a process that holds the socket *inode*; None when we may not see it."""
    wanted = f"socket:[{inode}]"
    for pid in filter(str.isdecimal, _names("/proc")):
        if any(_target(f"/proc/{pid}/fd/{name}") == wanted for name in _names(f"/proc/{pid}/fd")):
            return int(pid)
    return None


def _names(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:  # another user's process, or one that has just ended
        return []


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - pathlib costs 5 ms to import
    except OSError:  # closed since it was listed
        return ""


def _accepting(rows: list[TcpRow], address: bytes) -> list[TcpRow]:
    # The kernel prefers the exact address, then 0.0.0.0. A wildcard that gets no connection does
    # not count: an IPv6-only socket of any user on the agent's port would stop every task.
    wildcards = (_ANY_IPV4, _ANY_IPV6) if len(address) == IPV4_LENGTH else (_ANY_IPV6,)
    for local in (address, *wildcards):
        if found := [row for row in rows if row.local == local]:
            return found
    return []


def _owner(row: TcpRow) -> SocketOwner:
    trusted = row.uid in {0, os.geteuid()}
    return SocketOwner(trusted, f"uid {row.uid}", uid=row.uid, inode=row.inode)


# Netlink's family SOCK_DIAG answers questions about single sockets (`man 7 sock_diag`):
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


def _once_each(rows: Iterable[TcpRow]) -> list[TcpRow]:
    # The kernel gives a table in pieces, and a socket again if its neighbours changed meanwhile.
    return list(dict.fromkeys(rows))


def _netlink_listening(port: int) -> list[TcpRow]:
    states = 1 << _TCP_LISTEN
    rows: list[TcpRow] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        question = _question(family, states, (b"", port), (b"", 0))
        rows += (row for state, row in _ask(question, _REQUEST | _DUMP) if state == _TCP_LISTEN)
    return _once_each(rows)


def _netlink_connected(local: Endpoint, remote: Endpoint) -> list[TcpRow]:
    family = socket.AF_INET if len(local[0]) == IPV4_LENGTH else socket.AF_INET6
    question = _question(family, 0xFFFF_FFFF, local, remote)
    # Without a connected socket the kernel offers the listener, which is another socket.
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
                yield _parse_answer(body)


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


def _parse_answer(body: bytes) -> tuple[int, TcpRow]:
    family, state, _, _, address, _, _, _, _, _, _, uid, inode = _ANSWER.unpack_from(body)
    local = address[:4] if family == socket.AF_INET else unmapped(address)
    return state, TcpRow(local, uid, inode)


# /proc/net/tcp and tcp6 hold one row for each socket: slot, own end, other end, state, queues,
# timers, uid, timeout, inode. An address is written as 32-bit words in the machine's byte order
# (Documentation/networking/proc_net_tcp).

#: The calling thread's own namespace; /proc/net would be that of the process's first thread.
_FOLDER = "/proc/thread-self/net/"
_LISTEN = "0A"


def _proc_listening(port: int) -> list[TcpRow]:
    needles = (f":{port:04X} {'0' * digits}:0000 {_LISTEN} " for digits in (8, 32))
    return _rows(needles)


def _proc_connected(local: Endpoint, remote: Endpoint) -> list[TcpRow]:
    pairs = {(local[0], remote[0]), (_mapped(local[0]), _mapped(remote[0]))}
    needles = (f" {_hex(a)}:{local[1]:04X} {_hex(b)}:{remote[1]:04X} " for a, b in pairs)
    return _rows(needles)


def _rows(needles: Iterator[str]) -> list[TcpRow]:
    table = _table()
    found = (line for needle in needles for line in _lines(table, needle.encode("ascii")))
    return _once_each(map(_parse_line, found))


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


def _parse_line(line: bytes) -> TcpRow:
    fields = line.split()
    local = bytes.fromhex(fields[1].partition(b":")[0].decode("ascii"))
    return TcpRow(unmapped(_swapped(local)), int(fields[7]), int(fields[9]))


def _hex(packed: bytes) -> str:
    return _swapped(packed).hex().upper()


def _swapped(packed: bytes) -> bytes:
    if sys.byteorder == "big":
        return packed
    return b"".join(packed[i : i + 4][::-1] for i in range(0, len(packed), 4))


def _mapped(packed: bytes) -> bytes:
    return b"\0" * 10 + b"\xff\xff" + packed if len(packed) == IPV4_LENGTH else packed


#: Netlink looks one socket up in 0.1 ms; /proc formats all of them.
NETLINK = Source(_netlink_listening, _netlink_connected)
PROC = Source(_proc_listening, _proc_connected)
SOURCES = (NETLINK, PROC)
