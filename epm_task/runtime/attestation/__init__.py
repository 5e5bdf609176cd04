"""Who holds the other end of a connection on this machine: what all systems have in common."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

#: An address of 4 or 16 bytes, and a port. IPv4-mapped addresses have 4 bytes.
Endpoint: TypeAlias = tuple[bytes, int]

#: Bytes of an IPv4 address; one of IPv6 has 16.
IPV4_LENGTH = 4


class SocketOwner(NamedTuple):
    """Who holds a socket; `trusted` when that is root, LocalSystem or our own account."""

    trusted: bool
    #: What a person calls the account: `uid 1000`, or a Windows SID.
    name: str
    #: -1 where the platform has no user ids.
    uid: int = -1
    pid: int | None = None
    #: Linux only: finds the process, and is 0 while no process holds the socket.
    inode: int = 0


def unmapped(packed: bytes) -> bytes:
    """Return the four bytes of an IPv4-mapped address, and any other address as it is."""
    return packed[12:] if packed.startswith(b"\0" * 10 + b"\xff\xff") else packed
