"""A second user: a process that really runs under another user id, and one that holds a port."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
needs_second_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be two users"
)

#: Arguments: host, port, user id at bind, user id at accept, whether it accepts, IPv6 only.
LISTENER = """
import os, socket, sys
host, port, bind_uid, accept_uid, accepts, only_ipv6 = sys.argv[1], *map(int, sys.argv[2:])
def become(uid):
    if uid != os.geteuid():
        os.setgroups([]); os.setgid(uid); os.setuid(uid)
become(bind_uid)
listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
if ":" in host:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((host, port)); listener.listen(8)
become(accept_uid)
print(listener.getsockname()[1], flush=True)
kept = []
while accepts:
    kept.append(listener.accept()[0]); kept[-1].sendall(b"!")
sys.stdin.read()
"""


@contextlib.contextmanager
def listener(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    uids: tuple[int, int] = (NOBODY, NOBODY),
    accepts: bool = True,
    only_ipv6: bool = False,
) -> Iterator[tuple[int, int]]:
    """Run a listener; *uids* are those at bind and at accept; yields its port and its pid."""
    numbers = [port, *uids, accepts, only_ipv6]
    command = [sys.executable, "-I", "-c", LISTENER, host, *map(str, map(int, numbers))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


#: Listens as root, and answers as the second user: the handshake, then what it hears of a request.
HANDED_OVER = f"""
import os, socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
context.num_tickets = 0  # what a client leaves unread makes its end a reset
server = socket.create_server(("127.0.0.1", 0))
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
print(server.getsockname()[1], os.getpid(), flush=True)
secured = context.wrap_socket(server.accept()[0], server_side=True)
print(secured.version(), secured.recv(100))
"""


@contextlib.contextmanager
def handed_over(pem: Path) -> Iterator[tuple[int, int]]:
    """Let the second user serve root's listener with TLS; yield its port and the server's pid.

    One client must come, of which the server hears nothing but the handshake.
    """
    command = [sys.executable, "-I", "-c", HANDED_OVER, str(pem)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            port, pid = server.stdout.readline().split()
            yield int(port), int(pid)
            assert server.stdout.read() == "TLSv1.3 b''\n"
        finally:
            server.kill()


@contextlib.contextmanager
def connected(host: str, port: int, *, greeted: bool = True) -> Iterator[socket.socket]:
    """Connect, and wait for the byte that tells that the connection was accepted."""
    with socket.create_connection((host, port), 5) as sock:
        assert not greeted or sock.recv(1) == b"!"
        yield sock


#: The interpreter may lie where only root can start it.
BECOME = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"


@contextlib.contextmanager
def second_user(code: str, *arguments: str) -> Iterator[None]:
    """Run Python *code* as the second user until the end of the block; it prints when it begins."""
    command = [sys.executable, "-I", "-c", BECOME + code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline(), "it did not begin"
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def this_process() -> Iterator[None]:
    """Be the second user in this process until the end of the block."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """Make a folder that the second user can reach, and remove it with all that it holds."""
    with tempfile.TemporaryDirectory(prefix="epm-task-two-users-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
