"""Children of a task, however started, disturb neither its stdout, its records nor its end."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from peers.mqtt_peer import MqttPeer
from peers.patience import PATIENCE
from peers.task_process import PROGRAMS, agent_with, run_task

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.posix("fork and its kin need POSIX")

WAYS = [
    *("subprocess", "spawn"),
    *(pytest.param(way, marks=posix) for way in ("fork", "forkserver")),
]


@pytest.mark.parametrize("way", WAYS)
def test_child_writes_to_stderr_and_the_result_is_alone(way: str) -> None:
    """The parent's records arrive once each, and no child holds a stream of the ended task.

    A child of `spawn` and `forkserver` imports the task's file with the task's own arguments.
    """
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        ended = run_task("children.py", f"--way={way}", agent=agent.base_url)
    assert (ended.exit_code, ended.stdout) == (0, b'{"sum":25}\n'), ended.stderr
    assert {b"NOISE 3", b"NOISE 4"} <= set(ended.stderr.splitlines())
    messages = [json.loads(payload)["message"] for payload in broker.payloads]
    assert [one for one in messages if one in {"before", "after"}] == ["before", "after"]
    assert len(broker.connects) == 1


@pytest.mark.parametrize("way", WAYS)
def test_grandchild_that_goes_on_keeps_no_stdout(tmp_path: Path, way: str) -> None:
    """The reader of stdout sees its end when the task ends; stderr is the grandchild's as well."""
    stderr = tmp_path / "stderr"
    with MqttPeer() as broker, agent_with(broker.port) as agent, stderr.open("wb") as errors:
        base = f"--keeper-api-base={agent.base_url}"
        ended = subprocess.run(
            [sys.executable, PROGRAMS / "children.py", base, f"--way={way}", "--leave"],
            stdout=subprocess.PIPE,
            stderr=errors,
            timeout=PATIENCE,
            check=False,
        )
    left = [
        int(line.split()[1])
        for line in stderr.read_bytes().splitlines()
        if line.startswith(b"left ")
    ]
    for pid in left:
        psutil.Process(pid).kill()
    assert (ended.returncode, ended.stdout, len(left)) == (0, b'{"sum":25}\n', 2)
