"""Find the process at the other end of a TCP connection on this machine.

On Linux the kernel names the inode of exactly one connection, and only the open files of the
candidate processes are compared with it: no scan of all processes, no rights needed. The table of
Windows names the process itself. Elsewhere psutil lists the candidates' connections.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Final

from epm_task.runtime.attestation import unmapped

if sys.platform == "win32":
    from epm_task.runtime.attestation import windows as kernel
else:
    from epm_task.runtime.attestation import linux as kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from epm_task.runtime.attestation import Endpoint

#: Host and port. A scope and flow of IPv6 may follow; they are not looked at.
Address = tuple[str, int]


#: Where a search has seen sockets, by name such as `socket:[4711]`: PID, and link in `/proc`.
Seen = dict[str, tuple[int, str]]
#: Those of hundreds of tasks; the oldest are gone already.
_MOST_SEEN: Final = 10_000


def peer_pid(
    local: Address,
    peer: Address,
    candidates: Collection[int],
    *,
    others: Callable[[], Collection[int]] = tuple,
    seen: Seen | None = None,
) -> int | None:
    """Return which of *candidates* holds the far end of a connection, or else of *others*, or None.

    *local* is our own address of the connection (`getsockname`), *peer* the far end's. *others* is
    called only when a process holds it that is no candidate. *seen* is kept by the caller: a search
    leaves there what it has passed, so that of many connections at once few need a search of their
    own. It is a hint alone, and never believed without a look.

    Raises:
        OSError: The operating system does not say who holds connections.
    """
    if sys.platform == "win32":
        found = kernel.holder(_endpoint(peer), _endpoint(local))
        return found if found in candidates or (found and found in others()) else None
    if sys.platform != "linux":
        found = _by_psutil(local, peer, candidates)
        return found or _by_psutil(local, peer, others())
    owners = kernel.owners(_endpoint(peer), _endpoint(local))
    if not owners:  # it was closed
        return None
    wanted, seen = f"socket:[{owners[0].inode}]", {} if seen is None else seen
    pid, link = seen.get(wanted, (0, ""))
    if pid in candidates and _target(link) == wanted:
        return pid
    return _holder(wanted, candidates, seen) or _holder(wanted, others(), seen)


def _endpoint(address: Address) -> Endpoint:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return unmapped(socket.inet_pton(family, address[0])), address[1]


def _holder(wanted: str, candidates: Collection[int], seen: Seen) -> int | None:
    if len(seen) > _MOST_SEEN:
        seen.clear()
    # The newest process is the likeliest to have just connected.
    for pid in sorted(candidates, reverse=True):
        folder = f"/proc/{pid}/fd"
        try:
            links = [f"{folder}/{name}" for name in os.listdir(folder)]  # noqa: PTH208 - names only, 3x faster
        except OSError:  # it has just ended
            continue
        sockets = {name: (pid, link) for link in links if (name := _target(link)).startswith("s")}
        seen |= sockets
        if wanted in sockets:
            return pid
    return None


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - a Path per open file costs more than the call
    except OSError:  # it has just been closed
        return ""


def _by_psutil(local: Address, peer: Address, candidates: Collection[int]) -> int | None:
    import psutil  # noqa: PLC0415  # see tree.py

    for pid in sorted(candidates, reverse=True):
        try:
            connections = psutil.Process(pid).net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(tuple(c.laddr) == peer[:2] and tuple(c.raddr) == local[:2] for c in connections):
            return pid
    return None
