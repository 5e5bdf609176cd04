"""Nothing in the environment or the working directory changes where a task connects."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from peers.listener import Listener
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, PATIENCE
from peers.task_process import TaskProcess, agent_with, run_task
from peers.tls import certificate_pem

import epm_task

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping


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


#: What the service of an agent has on Windows instead of a console and a user's profile: nothing.
_PROFILE = (
    *("HOME", "HOMEDRIVE", "HOMEPATH", "USERPROFILE", "APPDATA", "LOCALAPPDATA"),
    *("USER", "USERNAME", "LOGNAME"),
)


@pytest.mark.parametrize(
    "flags",
    sorted({getattr(subprocess, n, 0) for n in ("DETACHED_PROCESS", "CREATE_NO_WINDOW")}),
)
def test_a_service_needs_neither_console_nor_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int
) -> None:
    """Its tasks have the system's folder for temporary files, and run."""
    for name in _PROFILE:
        monkeypatch.delenv(name, raising=False)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        ended = run_task("records.py", agent=agent.base_url, cwd=tmp_path, flags=flags)
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout == b'{"count":10}\n'
    assert len(broker.payloads) == 10
    assert list(tmp_path.iterdir()) == []


def test_module_in_the_working_directory_is_not_imported(tmp_path: Path) -> None:
    """A json.py planted in the working directory is not the module that is used."""
    for name in ("json", "httpx", "socks", "epm_task"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted code was run')\n")
    found = _run(tmp_path, {})
    assert not str(found["json"]).startswith(str(tmp_path))
    assert found["socks"] is False


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


#: Adds to the wall clock the seconds that stand in a file, at each look; no other clock changes.
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long step(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("CLOCK_STEP"), "r");
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += step();
    return failed;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="needs LD_PRELOAD and a C compiler"
)
@pytest.mark.parametrize("hours", [-1, 1])
def test_step_of_the_wall_clock_is_seen_in_timestamps_only(tmp_path: Path, hours: int) -> None:
    """The clock is set while the handler runs: neither deadline nor flush comes early or late."""
    (tmp_path / "shim.c").write_text(_SHIM)
    library, step = tmp_path / "shim.so", tmp_path / "step"
    command = ["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "shim.c"), "-ldl"]
    subprocess.run(command, check=True)
    step.write_text("0")
    variables = {"LD_PRELOAD": str(library), "CLOCK_STEP": str(step)}
    how = ("--count=100", "--wait-at=50", f"--deadline={10 * PATIENCE}", f"--flush-timeout={BUSY}")
    with (
        MqttPeer(ack_delay_seconds=0.1) as broker,
        agent_with(broker.port) as agent,
        TaskProcess("records.py", *how, agent=agent.base_url, environment=variables) as process,
    ):
        process.await_stderr(b"waiting")
        step.write_text(str(hours * 3600))
        process.go_on()
        ended = process.end()
    assert (ended.exit_code, ended.stdout) == (0, b'{"count":100}\n')
    assert ended.records == []
    records = {record["seq"]: record for record in map(json.loads, broker.payloads)}
    moments = [datetime.fromisoformat(records[seq]["timestamp"]) for seq in sorted(records)]
    steps = [after - before for before, after in pairwise(moments)]
    assert len(moments) == 100
    assert abs(steps.pop(49) - timedelta(hours=hours)) < timedelta(seconds=PATIENCE)
    assert max(map(abs, steps)) < timedelta(seconds=PATIENCE)


def test_only_timestamps_come_from_the_wall_clock() -> None:
    """Every wait and every deadline of the runtime is measured by a clock that nobody sets.

    The state asks how old a file is that a killed run has left.
    """
    runtime = Path(epm_task.__file__).parent / "runtime"
    wall = re.compile(r"time\.(?:time|gmtime|localtime|strftime)\b|datetime\.(?:now|utcnow|today)")
    files = [*runtime.rglob("*.py")]
    readers = [file.name for file in files if wall.search(file.read_text(encoding="utf-8"))]
    assert sorted(readers) == ["encoder.py", "state.py"]
