"""Say why an agent could not start, open its ports, and read its JSON files."""

from __future__ import annotations

import errno
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

import psutil

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.errors import EpmTaskError
from epm_task.runtime.attestation import linux as attestation_linux

if TYPE_CHECKING:
    from pathlib import Path


class StartError(EpmTaskError):
    """The agent could not start."""


class RootUnusable(StartError):
    """The agent's root cannot be created or written."""

    def __init__(self, root: Path, why: str) -> None:
        super().__init__(
            f"the agent's root {root} cannot be used", why, "choose a folder that you may write"
        )


class RootHeld(StartError):
    """Another agent runs on this root."""

    def __init__(self, root: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the agent's root {root} is in use by {holder}",
            fix="stop that agent, or use another root",
        )
        self.pid = pid


class FileUnwritable(StartError):
    """A file that was asked for cannot be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{path} cannot be written", error.strerror or str(error), "give another path"
        )


class PortTaken(StartError):
    """A port that was asked for belongs to another process."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} is in use by {holder(host, port)}",
            fix="choose another one, or 0 for any free one",
        )
        self.port = port


class UnusableFile(StartError):
    """A file of the agent that cannot be used.

    Attributes:
        path: The file.
        line: Where the content is broken, counted from 1; 0 when no line can be named.
    """

    def __init__(self, path: Path, why: str, *, line: int = 0) -> None:
        super().__init__(
            f"{path}, line {line}" if line else str(path),
            why,
            "the file was not changed: correct it, or move it away",
        )
        self.path = path
        self.line = line


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Raises:
        UnusableFile: It cannot be read, or does not hold one.
    """
    try:
        return parse_object(path.read_bytes())
    except BadJson as error:
        raise UnusableFile(path, error.why, line=error.line) from error
    except OSError as error:
        raise UnusableFile(path, error.strerror or str(error)) from error


#: Windows reports a port held exclusively as "access denied".
PORT_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES})

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
        if error.errno in PORT_TAKEN:
            raise PortTaken(host, port) from error
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
