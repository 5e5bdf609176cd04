"""Nothing in the environment or the working directory changes where a task connects."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from peers.listener import Listener
from peers.mqtt_peer import MqttPeer
from peers.task_process import TaskProcess, agent_with, run_task
from peers.tls import certificate_pem

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@pytest.fixture
def trap() -> Iterator[Listener]:
    """Run a port to which nobody shall connect."""

    def serve(accepted: socket.socket) -> None:
        accepted.recv(1)

    listener = Listener(serve)
    listener.start()
    yield listener
    listener.stop()


def _run(cwd: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Run a task with these variables in this directory; return its result."""
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        agent._script.append(answer.ok({"unrelated": "x"}))
        ended = run_task("look_around.py", agent=agent.base_url, environment=environment, cwd=cwd)
    assert ended.exit_code == 0, ended.stderr
    assert len(agent.requests) == 2
    assert [b"started" in payload for payload in broker.payloads] == [True]
    found: dict[str, object] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize(
    "name",
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "MQTT_PROXY"],
)
def test_proxy_variable_has_no_effect(tmp_path: Path, trap: Listener, name: str) -> None:
    """A proxy sees no packet, neither of HTTPS nor of MQTT."""
    for scheme in ("http", "socks5") if "ALL" in name.upper() else ("http",):
        _run(tmp_path, {name: f"{scheme}://127.0.0.1:{trap.port}"})
    assert trap.accepted == 0


def test_pysocks_that_is_installed_is_not_used(tmp_path: Path, trap: Listener) -> None:
    """paho-mqtt would obey MQTT_PROXY if it found a module `socks`; it is not even loaded."""
    loaded = tmp_path / "loaded"
    (tmp_path / "socks.py").write_text(f"open({str(loaded)!r}, 'w').close()\n")
    proxy = f"socks5://127.0.0.1:{trap.port}"
    _run(tmp_path, {"PYTHONPATH": str(tmp_path), "MQTT_PROXY": proxy, "ALL_PROXY": proxy})
    assert (trap.accepted, loaded.exists()) == (0, False)


@pytest.mark.parametrize("value", ["/nonexistent", "file"])
def test_certificate_variables_have_no_effect(tmp_path: Path, value: str) -> None:
    """SSL_CERT_FILE and its kin neither add trust nor break the run."""
    planted = tmp_path / "ca.pem"
    planted.write_text(certificate_pem())
    path = str(planted) if value == "file" else value
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    _run(tmp_path, dict.fromkeys(names, path))


def test_planted_certificate_adds_no_trust(tmp_path: Path) -> None:
    """With --ca-file only that file counts: the CA of SSL_CERT_FILE is not accepted."""
    planted, real = tmp_path / "planted.pem", tmp_path / "real.pem"
    planted.write_text(certificate_pem("ip-san"))
    real.write_text(certificate_pem("wrong-name"))
    with HttpPeer([answer.status(500)]) as agent:
        ended = run_task(
            "hello.py",
            f"--ca-file={real}",
            agent=agent.base_url,
            environment={"SSL_CERT_FILE": str(planted)},
        )
    assert ended.exit_code == 78
    assert "certificate" in ended.last_line
    assert agent.requests == []


def test_key_log_is_not_written(tmp_path: Path) -> None:
    """SSLKEYLOGFILE does not make the session keys readable."""
    keys = tmp_path / "keys.log"
    _run(tmp_path, {"SSLKEYLOGFILE": str(keys)})
    assert not keys.exists()


def test_netrc_is_not_read(tmp_path: Path) -> None:
    """A password for 127.0.0.1 in .netrc is not sent."""
    file = tmp_path / ".netrc"
    file.write_text("machine 127.0.0.1 login a password hunter2-secret\n")
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        variables = {"NETRC": str(file), "HOME": str(tmp_path)}
        run_task("records.py", agent=agent.base_url, environment=variables)
    assert b"authorization" not in agent.requests[0].lower()


def test_environment_and_dotenv_are_no_settings(tmp_path: Path) -> None:
    """Fields named like variables, and a planted .env, keep the values of the agent's document."""
    (tmp_path / ".env").write_text("PATH=evil\nTIMEOUT=99\nVERIFY=false\n")
    found = _run(tmp_path, {"TIMEOUT": "98", "VERIFY": "false", "path": "evil"})
    assert (found["path"], found["timeout"], found["verify"]) == ("default", 7, True)


def test_module_in_the_working_directory_is_not_imported(tmp_path: Path) -> None:
    """A json.py planted in the working directory is not the module that is used."""
    for name in ("json", "httpx", "socks", "epm_task"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted code was run')\n")
    found = _run(tmp_path, {})
    assert not str(found["json"]).startswith(str(tmp_path))
    assert found["socks"] is False


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX locales")
@pytest.mark.parametrize("locale", ["C", "POSIX", "de_DE.ISO-8859-1"])
def test_locale_does_not_change_the_output(locale: str) -> None:
    """Stdout and stderr are UTF-8 in every locale."""
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        variables = {"LC_ALL": locale, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
        with TaskProcess(
            "hello.py", "--name=Zoë", agent=agent.base_url, environment=variables
        ) as process:
            ended = process.end()
    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["greeting"].startswith("Hello Zo")


def test_warnings_as_errors_do_not_break_the_runtime() -> None:
    """With PYTHONWARNINGS=error, and in development mode, a run goes as always."""
    with MqttPeer() as broker, agent_with(broker.port, answer.status(403)) as agent:
        variables = {"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"}
        ended = run_task("records.py", agent=agent.base_url, environment=variables)
    assert (ended.exit_code, len(broker.payloads)) == (0, 11)
    assert [line for line in ended.stderr.splitlines() if b"handler-ended" not in line] == []
