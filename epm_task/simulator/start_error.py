"""Say why an agent could not start, open its ports, and read its JSON files."""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.errors import EpmTaskError, UnsafeConfiguration
from epm_task.exit_code import ExitCode
from epm_task.trust import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class StartError(EpmTaskError):
    """The agent could not start; *exit_code* is what `epm-task` ends with."""

    exit_code: int = ExitCode.FAILED


class RootUnusable(StartError):
    """The agent's root cannot be created or written."""

    def __init__(self, root: Path, why: str) -> None:
        super().__init__(
            f"the agent's root {root} cannot be used", why, "choose a folder that you may write"
        )


class RootUnsafe(UnsafeConfiguration, StartError):
    """Another user could replace what the agent runs or reads."""


class RootHeld(StartError):
    """Another agent runs on this root."""

    def __init__(self, root: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the agent's root {root} is in use by {holder}",
            fix="stop that agent, or use another root",
        )
        self.pid = pid


class NoProcesses(StartError):
    """The system does not show its processes, by which the agent knows its tasks."""

    def __init__(self) -> None:
        super().__init__(
            "the agent cannot see the processes that it starts",
            "/proc is not mounted" if sys.platform == "linux" else "",
            "mount it: mount -t proc proc /proc" if sys.platform == "linux" else "",
        )


class FileUnwritable(StartError):
    """A file that was asked for cannot be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{path} cannot be written", error.strerror or str(error), "give another path"
        )


class PortTaken(StartError):
    """A port that was asked for belongs to another process."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is in use by {holder(port)}",
            fix="choose another one, or 0 for any free one",
        )
        self.port = port


class UnknownLevel(StartError, ValueError):
    """The lowest level of the KeeperLogger file is not one of the product's."""

    def __init__(self, level: str, known: Iterable[str]) -> None:
        words = ", ".join(word.capitalize() for word in known)
        super().__init__(f"unknown level {level!r}", fix=f"choose one of {words}")


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
        with open_regular(path) as file:
            return parse_object(file.read())
    except BadJson as error:
        raise UnusableFile(path, error.why, line=error.line) from error
    except UnsafeConfiguration as error:
        raise UnusableFile(path, error.why) from error
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
        # No Nagle's algorithm, which costs each connection 40 ms. Accepted sockets inherit this.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno in PORT_TAKEN:
            raise PortTaken(port) from error
        raise
    listening.settimeout(0)
    return listening


def holder(port: int) -> str:
    """Return in words who listens on *port*, as far as this user may know."""
    import psutil  # noqa: PLC0415  # a failure only

    try:
        found = (c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
        pid = next(c.pid for c in found if c.laddr.port == port and c.pid)
    except (psutil.Error, OSError, StopIteration):  # macOS tells only root
        return "another process"
    with suppress(psutil.Error, OSError):  # Windows closes some to everybody
        return f"process {pid} ({psutil.Process(pid).name()})"
    return f"process {pid}"
