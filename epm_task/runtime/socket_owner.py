"""A socket owner is the account, with its process where known, that holds one TCP socket."""

from __future__ import annotations

from typing import NamedTuple


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
