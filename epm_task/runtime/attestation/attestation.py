"""Refuse to talk to anybody but the agent: the kernel says who owns the other end.

Without a CA bundle the agent's certificate proves nothing: it is self-signed, new at every start of
the service. Any local user could listen on the port while the agent is down. So the owner of the
listening socket is checked before the TCP connect, which keeps every byte from an impostor, and the
owner of the accepted socket after the TLS handshake, because a socket that waits to be accepted has
no owner yet (old kernels say uid 0), and because the listener may have changed in between.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, NoReturn

if sys.platform == "linux":
    from epm_task.runtime.attestation import linux as _kernel
elif sys.platform == "win32":
    from epm_task.runtime.attestation import windows as _kernel
else:
    from epm_task.runtime.attestation import macos as _kernel
from epm_task.errors import EpmTaskError
from epm_task.runtime.attestation import unmapped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from epm_task.runtime.attestation import SocketOwner

#: A table that is read while it changes can miss a row; it does not miss the same one three times.
_READS = 3


class Untrusted(EpmTaskError):
    """The other end of a connection on this machine is not known to be the agent.

    Its `fix` ends where the caller adds the name of its own option for a certificate.

    Attributes:
        host: IP address of the socket in question.
        port: TCP port of the socket in question.
    """

    def __init__(self, what: str, why: str, fix: str, *, host: str, port: int) -> None:
        super().__init__(what, why, fix)
        self.host = host
        self.port = port


class Impostor(Untrusted):
    """The socket belongs to another user's process.

    Attributes:
        uid: User id of the owner; -1 on Windows.
        pid: Process id of the owner, None when it cannot be seen.
    """

    def __init__(self, host: str, port: int, owner: SocketOwner, pid: int | None) -> None:
        where = f"process {pid}" if pid else "a process that we may not see"
        super().__init__(
            f"{_address(host, port)} is held by {owner.name} ({where})",
            "that is neither the system nor our own user and may pose as the agent, so no request "
            "was sent",
            "stop that process, or give the agent's certificate",
            host=host,
            port=port,
        )
        self.uid: int = owner.uid
        self.pid = pid


class Unattested(Untrusted):
    """The owner of the socket cannot be determined."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"nobody can tell who holds {_address(host, port)}, so no request was sent",
            reason,
            "give the agent's certificate",
            host=host,
            port=port,
        )


def check_listener(host: str, port: int) -> None:
    """Refuse a listener that is not the system's or our own; call it before the TCP connect.

    Returns quietly when nobody listens: the connect fails by itself.

    Raises:
        Impostor: A process of another user would accept the connection.
        Unattested: *host* is not an IP address, or the kernel's answer cannot be had.
    """
    try:
        owners = listeners(host, port)
    except OSError as error:
        _give_up(host, port, error)
    _require_trusted(owners, host, port)


def check_peer(sock: socket.socket) -> None:
    """Refuse a peer that is not the system's or our own; call it after the TLS handshake.

    Raises:
        Impostor: A process of another user accepted the connection.
        Unattested: No process is known to have accepted it, or the kernel's answer cannot be had.
        ConnectionResetError: The peer has closed, so that nobody owns its end any more.
    """
    (host, port), local = sock.getpeername()[:2], sock.getsockname()[:2]
    for _ in range(_READS):
        try:
            owners = _kernel.owners((_packed(host), port), (_packed(local[0]), local[1]))
        except OSError as error:
            _give_up(host, port, error)
        if owners:
            _require_trusted(owners, host, port)
            return
        if _kernel.peer_has_closed(sock):
            raise ConnectionResetError(f"{_address(host, port)} closed before it was identified")
    raise Unattested(host, port, _kernel.NOBODY)


def listeners(host: str, port: int) -> list[SocketOwner]:
    """Return the owners of the sockets that could accept a connection to an IP address.

    Raises:
        OSError: *host* is not an IP address, or the kernel's answer cannot be had.
    """
    return _kernel.listeners(_packed(host), port)


def process_of(owner: SocketOwner) -> int | None:
    """Return the process that holds the socket; None when this user may not see it."""
    if sys.platform == "linux" and owner.inode:
        return _kernel.find_pid(owner.inode)
    return owner.pid


def _require_trusted(owners: Iterable[SocketOwner], host: str, port: int) -> None:
    for owner in owners:
        if not owner.trusted:
            raise Impostor(host, port, owner, process_of(owner))


def _packed(host: str) -> bytes:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return unmapped(socket.inet_pton(family, host))


def _give_up(host: str, port: int, error: OSError) -> NoReturn:
    raise Unattested(host, port, error.strerror or str(error)) from error


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
