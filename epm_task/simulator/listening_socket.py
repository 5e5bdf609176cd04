"""A listening socket is a port of the agent; when it is taken, the error says by whom."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Final

import psutil

from epm_task.runtime import attestation_linux
from epm_task.simulator.start_error import PortTaken

#: Windows reports a port held exclusively as "access denied".
_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES})

#: Connections that wait to be accepted while the loop is busy: 64 tasks may start at once.
_BACKLOG: Final = 512


def listen(host: str, port: int) -> socket.socket:
    """Return a non-blocking socket that listens on *host* and *port*; port 0 is any free one.

    Raises:
        PortTaken: Another socket listens there, or the port is reserved.
        OSError: The address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            # Elsewhere the option would let a second socket take over a port that is in use.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno in _TAKEN:
            raise PortTaken(port, holder(host, port)) from error
        raise
    listening.settimeout(0)
    return listening


def holder(host: str, port: int) -> str:
    """Return in words who listens on *host* and *port*, as far as this user may know."""
    pid = _listening_pid(host, port)
    if pid is None:
        return "another process"
    try:
        return f"process {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"process {pid}"


def _listening_pid(host: str, port: int) -> int | None:
    if sys.platform != "linux":
        return _by_psutil(port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        owners = attestation_linux.listeners(socket.inet_pton(family, host), port)
    except OSError:
        return None
    pids = (attestation_linux.find_pid(owner.inode) for owner in owners if owner.inode)
    return next((pid for pid in pids if pid), None)


def _by_psutil(port: int) -> int | None:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:  # macOS tells only root
        return None
    found = (c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr.port == port)
    return next((pid for pid in found if pid), None)
