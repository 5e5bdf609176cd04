"""A listener is the process that holds a port of this machine, as far as this user may know."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, NamedTuple

import psutil

if sys.platform == "linux":
    from epm_task.runtime import attestation_linux as kernel
else:
    from epm_task.runtime import attestation_foreign as kernel

if TYPE_CHECKING:
    from epm_task.runtime.socket_owner import SocketOwner


class Listener(NamedTuple):
    """Who listens on one port.

    Attributes:
        trusted: Whether it runs as the system, or as this user.
        who: Account and process, in words.
    """

    trusted: bool
    who: str


def find_listener(host: str, port: int) -> Listener | None:
    """Return who would accept a connection, None when nobody would.

    Raises:
        OSError: The kernel does not tell.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    owners = kernel.listeners(socket.inet_pton(family, host), port)
    foreign = [owner for owner in owners if not owner.trusted]
    owner = next(iter(foreign or owners), None)
    return Listener(owner.trusted, _words(owner)) if owner else None


def _words(owner: SocketOwner) -> str:
    pid = owner.pid or (kernel.find_pid(owner.inode) if owner.inode else None)
    if pid is None:
        return f"{owner.name}, a process that this user may not see"
    try:
        return f"{owner.name}, process {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"{owner.name}, process {pid}"
