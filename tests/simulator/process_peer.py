"""A process peer is a real process that connects to the test, itself or by a child."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peers.patience import PATIENCE

from epm_task.simulator.processes.registry import Launch
from epm_task.simulator.processes.tree import birth

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
connection.sendall(b"!")  # Wine knows who holds a socket only when something was sent
sys.stdin.read()
"""

_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[3], sys.argv[1], sys.argv[2]])
child.wait()
"""


class Peer:
    """A process, and our end of the connection that it, or its child, opened."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self.pid = process.pid
        self.connection = connection
        self.local: Any = connection.getsockname()[:2]
        self.peer: Any = connection.getpeername()[:2]


@contextmanager
def connected_process(*, host: str = "127.0.0.1", by_child: bool = False) -> Iterator[Peer]:
    """Yield a process that holds a connection, or whose child does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        address = [host, str(server.getsockname()[1])]
        code = [_CHILD, *address, _CONNECT] if by_child else [_CONNECT, *address]
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", *code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with process:
            server.settimeout(PATIENCE)
            connection, _ = server.accept()
            with connection:
                assert connection.recv(1) == b"!"
                yield Peer(process, connection)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(PATIENCE)


def launch_of(pid: int, *, job_id: str = "probe", run_id: str = "run1", **topics: Any) -> Launch:
    """Return the launch of a living process."""
    born = birth(pid)
    assert born is not None
    return Launch(pid, born, run_id, job_id, **topics)
