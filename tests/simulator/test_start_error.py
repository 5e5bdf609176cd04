"""Tests of the agent's ports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from epm_task.simulator.start_error import PortTaken, UnusableFile, holder, listen, read_object

if TYPE_CHECKING:
    from pathlib import Path

_LISTEN = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_free_port_is_taken(host: str) -> None:
    """It can be connected to."""
    with listen(host, 0) as listening:
        socket.create_connection(listening.getsockname()[:2], 5).close()


def test_a_taken_port_says_which_process_holds_it() -> None:
    """PID and name, as far as this user may know."""
    with subprocess.Popen(
        [sys.executable, "-c", _LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        with pytest.raises(PortTaken, match=rf"port {port} is in use by process {other.pid} \(py"):
            listen("127.0.0.1", port)
        other.communicate()


def test_a_port_can_be_taken_again_after_a_restart() -> None:
    """A connection that has just ended does not hold it."""
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port), 5)
        first.settimeout(5)
        accepted, _ = first.accept()
        accepted.close()
        client.close()
    listen("127.0.0.1", port).close()


def test_an_address_of_another_machine_is_an_error() -> None:
    """It is not a port that is taken."""
    with pytest.raises(OSError, match=r"assign|10049"):
        listen("192.0.2.1", 0)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The reason is that of the operating system."""
    with pytest.raises(UnusableFile, match=r"A\.json: .+; the file was not"):
        read_object(tmp_path / "A.json")


def test_the_holder_of_a_free_port_is_not_known() -> None:
    """Nobody is named."""
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert str(os.getpid()) in holder(port)
    assert holder(port) == "another process"


def test_small_packets_are_sent_at_once() -> None:
    """An accepted socket has no Nagle's algorithm, whichever loop accepts it."""
    with listen("127.0.0.1", 0) as listening:
        listening.settimeout(None)
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
