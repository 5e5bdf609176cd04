"""A system with nothing left, or no room to write, ends a run in an orderly way, or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from peers.mqtt_peer import MqttPeer
from peers.patience import PATIENCE, WINDOW
from peers.second_user import needs_second_user
from peers.task_process import PROGRAMS, agent_with, unmeasured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and mounts of Linux")

COUNT = 500
MIB = 1024 * 1024
#: An account without a process, so that each thread of the task counts.
_STRANGER = 54321


def _run(
    broker: MqttPeer,
    *before: str,
    environment: Mapping[str, str] | None = None,
    **how: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program below the commands *before* to its end, which comes in time."""
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    arguments = [f"--count={COUNT}", "--flush-timeout=1", f"--registration-timeout={2 * WINDOW}"]
    # Under limits coverage, too, would fail, and say so.
    with agent_with(broker.port) as agent:
        base = f"--keeper-api-base={agent.base_url}"
        return subprocess.run(
            [*before, sys.executable, PROGRAMS / "limited.py", base, *arguments],
            env={**unmeasured(), "KEEPER_JOB_ID": "key-scanner", **(environment or {})},
            timeout=PATIENCE,
            check=False,
            **{**streams, **how},
        )


def _check(broker: MqttPeer, ended: subprocess.CompletedProcess[bytes]) -> None:
    """Check that the run went well, or said why not, and that no record is missing either way."""
    assert ended.returncode in {0, 71}, ended.stderr[-2000:]
    lines = ended.stderr.splitlines()
    if ended.returncode:
        assert ended.stdout == b""
        assert lines[-1].startswith(b"epm_task: exit 71 (OSERR): "), lines[-1]
        assert b"Traceback" not in ended.stderr
        return
    assert json.loads(ended.stdout) == {"count": COUNT}
    on_stderr = [json.loads(line) for line in lines if line.startswith(b"{")]
    records = [*map(json.loads, broker.payloads), *on_stderr]
    found = {record["properties"].get("n") for record in records}
    assert found >= set(range(COUNT))


@pytest.mark.parametrize("descriptors", [8, 9, 10, 11, 12, 16, 24])
def test_few_descriptors(descriptors: int) -> None:
    """As many as a run needs are few; another limit is told by its own exit code."""

    def limit() -> None:
        import resource  # POSIX only

        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    with MqttPeer() as broker:
        _check(broker, _run(broker, preexec_fn=limit))


@pytest.mark.parametrize("more", [4, 50, 150])
def test_little_memory(more: int) -> None:
    """So many MiB of address space beside what the program has when the task begins."""
    with MqttPeer() as broker:
        _check(broker, _run(broker, environment={"MORE_MEMORY": str(more * MIB)}))


@pytest.mark.parametrize("more", [1, 9, 17, 19, 20, 21, 25])
def test_memory_that_ends_inside_of_a_library(more: int) -> None:
    """What OpenSSL and others raise without memory need not tell; the end is an orderly one."""
    with MqttPeer() as broker:
        ended = _run(broker, environment={"MORE_MEMORY": str(more * MIB)})
    if b"failed to map segment from shared object" in ended.stderr and ended.returncode == 1:
        return  # during an import, and so before anything of a run; which Python says itself
    assert ended.returncode in {0, 69, 70, 71}, ended.stderr[-2000:]
    if ended.returncode:
        last = ended.stderr.splitlines()[-1]
        assert last.startswith(b"epm_task: exit %d (" % ended.returncode), last


@needs_second_user
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv of util-linux")
@pytest.mark.parametrize("threads", [1, 2, 3, 4, 5])
def test_few_threads(threads: int) -> None:
    """RLIMIT_NPROC counts the threads of an account, root excepted: another one runs the task."""
    account = [f"--reuid={_STRANGER}", f"--regid={_STRANGER}", "--clear-groups"]
    # It may read the interpreter, wherever that lies.
    reading = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    with MqttPeer() as broker:
        before = ("prlimit", f"--nproc={threads}", "setpriv", *account, *reading)
        _check(broker, _run(broker, *before))


def test_every_write_fails() -> None:
    """Stdout and stderr are on a full disk: the records arrive, and the exit code says the rest."""
    with MqttPeer() as broker, Path("/dev/full").open("wb") as full:
        ended = _run(broker, stdout=full, stderr=full)
    assert ended.returncode == 74
    assert len({json.loads(payload)["seq"] for payload in broker.payloads}) == COUNT


@needs_second_user
def test_full_file_system(tmp_path: Path) -> None:
    """Streams, working directory and temporary files are where there is no room any more."""
    with _mounted(tmp_path) as place, MqttPeer(no_puback=True) as broker:
        with (place / "stdout").open("wb") as out, (place / "stderr").open("wb") as err:
            (place / "padding").write_bytes(b"\0" * 40_000)
            variables = {"TMPDIR": str(place), "HOME": str(place)}
            ended = _run(broker, stdout=out, stderr=err, cwd=place, environment=variables)
        assert ended.returncode == 74
        # What was written is there whole, up to the last line that found room.
        lines = (place / "stderr").read_bytes().splitlines()
        assert [line for line in lines[:-1] if line.startswith(b"{") and not json.loads(line)] == []


@contextmanager
def _mounted(folder: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_second_user
def test_read_only_file_systems() -> None:
    """A run writes to no file, so it goes as always."""
    script = (
        'mount -o remount,ro,bind / && ! touch /epm-task-probe 2>/dev/null || exit 99; exec "$@"'
    )
    with MqttPeer() as broker:
        ended = _run(broker, "unshare", "--mount", "sh", "-c", script, "sh")
    if ended.returncode == 99 or b"unshare" in ended.stderr:
        pytest.skip("a mount namespace needs root and the right to mount")
    _check(broker, ended)
    assert ended.returncode == 0
