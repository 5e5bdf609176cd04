"""A port that another user's process holds gets no request, and its owner is named."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from peers.patience import PATIENCE
from peers.second_user import NOBODY, handed_over, listener
from peers.task_process import agent_with, assert_failed, run_task
from peers.tls import certificate_pem, server_pem

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="needs root on Linux: a process of a second user is started",
)

#: Listens, and says when it is asked whether anybody came.
WITNESS = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], os.getpid(), flush=True)
sys.stdin.read()
listener.setblocking(False)
try:
    print("accepted", listener.accept())
except BlockingIOError:
    print("nobody came")
"""


def test_impostor_on_the_agents_port_is_78() -> None:
    """The listener's uid and pid are named, and it sees no connection."""
    command = [sys.executable, "-I", "-c", WITNESS]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as witness:
        assert witness.stdout
        port, pid = witness.stdout.readline().split()
        ended = run_task("hello.py", agent=f"https://127.0.0.1:{port}")
        assert witness.communicate(timeout=PATIENCE)[0] == "nobody came\n"
    assert_failed(ended, 78, f"uid {NOBODY}", f"process {pid}", "no request was sent")


def test_impostor_on_the_brokers_port_is_78() -> None:
    """A broker of another user gets no CONNECT; the run ends before the handler."""
    with listener(accepts=False) as (port, pid), agent_with(port) as agent:
        ended = run_task("records.py", "--flush-timeout=0.3", agent=agent.base_url)
    assert_failed(ended, 78, f"uid {NOBODY}", f"process {pid}", f"127.0.0.1:{port}")
    assert ended.messages("record") == []


def test_impostor_as_an_optional_broker_gets_nothing() -> None:
    """An optional broker that is an impostor costs the delivery: records stand on stderr."""
    with listener(accepts=False) as (port, pid), agent_with(port) as agent:
        ended = run_task("optional_records.py", "--flush-timeout=0.3", agent=agent.base_url)
    assert ended.exit_code == 0
    assert len(ended.messages("record")) == 10
    assert f"process {pid}" in ended.stderr.decode()


@pytest.mark.parametrize("server", ["agent", "broker"])
def test_impostor_that_accepts_for_roots_listener_gets_no_request(
    tmp_path: Path, server: str
) -> None:
    """The owner of the accepted socket is asked after the handshake, by HTTPS and by MQTT."""
    pem = tmp_path / "server.pem"
    pem.write_bytes(server_pem())
    with handed_over(pem) as (port, pid):
        if server == "agent":
            ended = run_task("hello.py", agent=f"https://127.0.0.1:{port}")
        else:
            with agent_with(port) as agent:
                ended = run_task("records.py", "--flush-timeout=0.3", agent=agent.base_url)
    assert_failed(ended, 78, f"uid {NOBODY}", f"process {pid}", f"127.0.0.1:{port}")


def test_ca_file_needs_no_owner(tmp_path: Path) -> None:
    """With a CA file the certificate decides: an impostor without it is refused just the same."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(certificate_pem())
    with listener() as (port, _):
        ended = run_task(
            "hello.py",
            f"--ca-file={ca_file}",
            "--registration-timeout=0.5",
            agent=f"https://127.0.0.1:{port}",
        )
    assert ended.exit_code in {69, 76, 78}
    assert ended.stdout == b""
