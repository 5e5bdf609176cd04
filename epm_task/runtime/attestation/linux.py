"""The Linux kernel names the owner of a TCP socket over netlink, or else in /proc."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from epm_task.runtime.attestation import netlink as attestation_netlink
from epm_task.runtime.attestation.sockets import IPV4_LENGTH, SocketOwner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    from epm_task.runtime.attestation.sockets import Endpoint, TcpRow

    class Source(Protocol):
        """A way to read the kernel's socket table; each function raises OSError when closed."""

        def listening(self, port: int) -> list[TcpRow]:
            """Return every socket that listens on *port*."""

        def connected(self, local: Endpoint, remote: Endpoint) -> list[TcpRow]:
            """Return the socket whose own end is *local*, and whose other end is *remote*."""


_ANY_IPV4 = bytes(4)
_ANY_IPV6 = bytes(16)
#: `TCP_ESTABLISHED` of linux/tcp_states.h, as `tcpi_state` gives it.
_ESTABLISHED = 1


def kernel_sources() -> Iterator[Source]:
    """Yield netlink, which looks one socket up in 0.1 ms, then /proc, which formats all of them."""
    yield attestation_netlink
    from epm_task.runtime.attestation import proc as attestation_proc  # noqa: PLC0415 - almost never asked

    yield attestation_proc


def listeners(
    address: bytes, port: int, *, sources: Iterable[Source] | None = None
) -> list[SocketOwner]:
    """Return the owners of the listening sockets that would accept a connection to *address*."""
    error = OSError("there is no source for the socket table")
    for source in kernel_sources() if sources is None else sources:
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
    for source in kernel_sources() if sources is None else sources:
        try:
            # No row is no answer yet: netlink says "not found" also when its module is absent.
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
