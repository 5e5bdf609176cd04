"""A built program meets the faults and attacks as its source does."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from freeze.building import BuildFolder, run_cli
from peers import http_answer as answer
from peers.accounting import account
from peers.http_peer import HttpPeer
from peers.listener import Listener
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, PATIENCE
from peers.second_user import listener, needs_second_user
from peers.task_process import (
    PROGRAMS,
    Ended,
    TaskProcess,
    agent_with,
    assert_failed,
    closed_port,
    poll,
    run_task,
)
from peers.tls import certificate_pem

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.posix("signals and paths of POSIX"),
]
COUNT = 500


@pytest.fixture(scope="module")
def program(builds: BuildFolder) -> Path:
    """The executable of `tests/programs/frozen.py`."""

    def build(place: Path) -> None:
        run_cli("freeze", PROGRAMS / "frozen.py", "-o", place)

    return builds.once("frozen", build) / "Jobs" / "bin" / "KeyScanner" / "KeyScanner"


@pytest.fixture
def broker() -> Iterator[MqttPeer]:
    """Run a broker."""
    with MqttPeer() as running:
        yield running


def _run(
    program: Path, broker_port: int, *arguments: str, flush: float = PATIENCE / 2, **how: Any
) -> Ended:
    words = [f"--count={COUNT}", f"--flush-timeout={flush}", *arguments]
    with agent_with(broker_port) as agent:
        return run_task(program, *words, agent=agent.base_url, interpreter=(), **how)


def test_healthy_broker_gets_every_record(program: Path, broker: MqttPeer) -> None:
    """Nothing is on stderr, and the result is alone on stdout."""
    ended = _run(program, broker.port)
    assert (ended.exit_code, ended.stdout) == (0, b'{"count":%d}\n' % COUNT)
    assert account(range(1, COUNT + 1), broker.payloads, ended.stderr).on_stderr == frozenset()


def test_absent_broker_loses_nothing(program: Path) -> None:
    """All records stand on stderr, and the end comes when the flush is over."""
    ended = _run(program, closed_port(), flush=1)
    assert ended.exit_code == 0
    assert account(range(1, COUNT + 1), [], ended.stderr).complete
    assert ended.seconds < 1 + BUSY


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGKILL", -9)])
def test_signal_ends_the_process_that_was_launched(
    program: Path, broker: MqttPeer, name: str, code: int
) -> None:
    """The exit code is the source's; after a kill too no process holds stdout or stderr."""
    words = [f"--count={COUNT}", "--wait"]
    with (
        agent_with(broker.port) as agent,
        TaskProcess(program, *words, agent=agent.base_url, interpreter=()) as process,
    ):
        process.await_stderr(b"waiting")
        poll(lambda: len(broker.payloads) >= COUNT)
        process.signal(getattr(signal, name))
        ended = process.end()
    assert (ended.exit_code, ended.stdout) == (code, b"")
    assert {json.loads(payload)["seq"] for payload in broker.payloads} >= set(range(1, COUNT + 1))


def test_hard_exit_keeps_its_code(program: Path, broker: MqttPeer) -> None:
    """`os._exit(9)` is 9, and stdout stays empty."""
    ended = _run(program, broker.port, "--way=os-exit")
    assert (ended.exit_code, ended.stdout) == (9, b"")


@pytest.mark.parametrize("way", ["print", "fd", "child", "c"])
def test_noise_lands_on_stderr(program: Path, broker: MqttPeer, way: str) -> None:
    """The result is alone on stdout, whoever writes to descriptor 1."""
    ended = _run(program, broker.port, f"--way={way}")
    assert (ended.exit_code, ended.stdout) == (0, b'{"count":%d}\n' % COUNT)
    assert b"NOISE" in ended.stderr.splitlines()


def test_hostile_variables_have_no_effect(program: Path, broker: MqttPeer, tmp_path: Path) -> None:
    """Proxies see no packet, no key is written, a planted CA and a .netrc change nothing."""
    planted, keys, netrc = (tmp_path / name for name in ("ca.pem", "keys.log", ".netrc"))
    planted.write_text(certificate_pem("wrong-name"))
    netrc.write_text("machine 127.0.0.1 login root password hunter2\n")

    def serve(accepted: socket.socket) -> None:
        accepted.recv(1)

    trap = Listener(serve)
    trap.start()
    proxies = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY", "MQTT_PROXY")
    hostile = dict.fromkeys(proxies, f"http://127.0.0.1:{trap.port}")
    hostile |= {"SSL_CERT_FILE": str(planted), "SSLKEYLOGFILE": str(keys), "NETRC": str(netrc)}
    hostile |= {"PYTHONPATH": str(tmp_path), "PYTHONWARNINGS": "error", "HOME": str(tmp_path)}
    ended = _run(program, broker.port, environment=hostile)
    trap.stop()
    assert (ended.exit_code, trap.accepted, keys.exists()) == (0, 0, False), ended.stderr
    assert len({json.loads(payload)["seq"] for payload in broker.payloads}) == COUNT


@pytest.mark.parametrize(
    ("base", "job_id", "code"),
    [
        ("http://127.0.0.1:6889", "key-scanner", 78),
        ("https://127.0.0.1@evil.example", "key-scanner", 78),
        ("https://169.254.169.254", "key-scanner", 78),
        ("{KeeperApiBaseUrl}", "key-scanner", 64),
        ("https://127.0.0.1:1", "key_scanner", 64),
        ("https://127.0.0.1:1", "../key", 64),
    ],
)
def test_hostile_argument_is_refused(program: Path, base: str, job_id: str, code: int) -> None:
    """Before anything is sent, with the exit code of the source."""
    assert_failed(run_task(program, agent=base, job_id=job_id, interpreter=()), code)


@needs_second_user
def test_impostors_get_nothing(program: Path) -> None:
    """Another user on the agent's port ends the run; on the broker's it costs the delivery."""
    with listener(accepts=False) as (port, pid):
        base = f"https://127.0.0.1:{port}"
        assert_failed(run_task(program, agent=base, interpreter=()), 78, f"process {pid}")
        ended = _run(program, port, flush=1)
    assert ended.exit_code == 0
    assert account(range(1, COUNT + 1), [], ended.stderr).complete


def test_agent_that_answers_no_is_told(program: Path) -> None:
    """403 for the whole window is 77, as for the source."""
    with HttpPeer([answer.status(403)]) as agent:
        ended = run_task(
            program, "--registration-timeout=0.5", agent=agent.base_url, interpreter=()
        )
    assert_failed(ended, 77)
    assert ended.seconds < PATIENCE
