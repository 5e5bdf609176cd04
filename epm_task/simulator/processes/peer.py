"""Find the process at the other end of a TCP connection on this machine.

On Linux the kernel names the inode of exactly one connection, and only the open files of the
candidate processes are compared with it: no scan of all processes, no rights needed. Elsewhere
psutil lists the candidates' connections (untested here).
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import psutil

from epm_task.runtime.attestation import linux as attestation_linux

if TYPE_CHECKING:
    from collections.abc import Collection

    from epm_task.runtime.attestation import Endpoint

#: Host and port. A scope and flow of IPv6 may follow; they are not looked at.
Address = tuple[str, int]


def peer_pid(local: Address, peer: Address, candidates: Collection[int]) -> int | None:
    """Return which of *candidates* holds the far end of a connection, or None.

    *local* is our own address of the connection (`getsockname`), *peer* the far end's.

    Raises:
        OSError: The operating system does not say who holds connections.
    """
    if not candidates:
        return None
    if sys.platform != "linux":
        return _by_psutil(local, peer, candidates)
    owners = attestation_linux.owners(_endpoint(peer), _endpoint(local))
    return _holder({f"socket:[{owner.inode}]" for owner in owners}, candidates)


def _endpoint(address: Address) -> Endpoint:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return socket.inet_pton(family, address[0]), address[1]


def _holder(wanted: set[str], candidates: Collection[int]) -> int | None:
    # The newest process is the likeliest to have just connected.
    for pid in sorted(candidates, reverse=True) if wanted else ():
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names only, 3x faster
        except OSError:  # it has just ended
            continue
        if any(_target(f"{folder}/{name}") in wanted for name in names):
            return pid
    return None


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - a Path per open file costs more than the call
    except OSError:  # it has just been closed
        return ""


def _by_psutil(local: Address, peer: Address, candidates: Collection[int]) -> int | None:
    for pid in sorted(candidates, reverse=True):
        try:
            connections = psutil.Process(pid).net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(tuple(c.laddr) == peer[:2] and tuple(c.raddr) == local[:2] for c in connections):
            return pid
    return None
