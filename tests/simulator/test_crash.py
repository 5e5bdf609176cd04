"""A killed agent starts again with every change that it acknowledged."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from simulator.agent_process import AgentProcess, add_program, until

from epm_task.simulator.embedded import Agent

if TYPE_CHECKING:
    from pathlib import Path

#: The one kind of process that may write settings is a task. This one is started by `Startup`: it
#: tells what the agent has kept, then writes on, and notes each write that was acknowledged.
#: Of two agents that are started on one root, the second one takes the port of the first, which a
#: test beside this one may have taken meanwhile.
ANY_PORT = ("--https-port", "0")
WRITER = """
import http.client, json, pathlib, ssl, sys, urllib.parse

base, ca, notes = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
host = urllib.parse.urlsplit(base).netloc
api = http.client.HTTPSConnection(host, context=context, timeout=30)

def call(method, path, body=None):
    headers = {"Content-Type": "application/json"}
    while True:
        api.request(method, "/api/PluginSettings/Counter" + path, body, headers)
        answer = api.getresponse()
        data = answer.read()
        if answer.status != 403:
            return answer.status, json.loads(data)

status, kept = call("GET", "/number")
assert status == 200, status
with pathlib.Path(notes).open("a", buffering=1) as lines:
    print("kept", kept, file=lines)
    for number in range(int(kept) + 1, 1_000_000):
        status, _ = call("PUT", "/number", json.dumps({"value": str(number)}))
        assert status == 200, status
        print("acknowledged", number, file=lines)
"""

TASK = {
    "id": "write",
    "command": "writer",
    "arguments": '{KeeperApiBaseUrl} "{approot}/certs/ca.pem" "{approot}/notes.txt"',
}


def _job(job_id: str, number: int, **fields: Any) -> dict[str, Any]:
    return {"id": job_id, "name": f"Number {number}", "tasks": [TASK], **fields}


def _prepare(root: Path) -> None:
    root.mkdir()
    (root / "Plugins").mkdir()
    (root / "Plugins" / "Counter.json").write_text('{"number": "0"}')
    add_program(root, "writer", WRITER)
    job = _job("writer", 0, events=["Startup"])
    (root / "Jobs" / "writer.json").write_text(json.dumps(job))


def _store_jobs_until_it_dies(
    agent: AgentProcess, stored: dict[str, int], killer: threading.Timer
) -> None:
    """Create and update three jobs in turn; *stored* gets each number that was acknowledged.

    The first three are not killed: a busy machine may take longer for them than the agent lives.
    """
    number = max(stored.values(), default=0)
    with agent.admin() as admin:
        while True:
            if killer.ident is None and len(stored) == 3:
                killer.start()
            number += 1
            job_id = f"job-{number % 3}"
            try:
                answer = admin.post("/api/Jobs", json=_job(job_id, number, events=["Never"]))
            except httpx.TransportError:
                return
            assert answer.status_code == 200, answer.text
            stored[job_id] = number


def _check_jobs(agent: AgentProcess, stored: dict[str, int]) -> None:
    with agent.admin() as admin:
        jobs = {job["id"]: job["name"] for job in admin.get("/api/Jobs").json()["jobs"]}
    assert jobs.pop("writer") == "Number 0"
    for job_id, number in stored.items():
        # A write under way at the kill may have been done, too.
        assert jobs[job_id] in {f"Number {number}", f"Number {number + 3}"}


def _check_settings(notes: Path, rounds: int) -> int:
    """Compare what each start has found with what was acknowledged before; return the last."""
    acknowledged, starts = 0, 0
    for line in notes.read_text().splitlines():
        word, number = line.split()
        if word == "kept":
            assert int(number) in {acknowledged, acknowledged + 1}
            starts += 1
        acknowledged = int(number)
    assert starts == rounds
    return acknowledged


def _has_started(notes: Path, times: int) -> bool:
    return notes.exists() and notes.read_text().count("kept") == times


def _kill_again_and_again(root: Path, rounds: int) -> None:
    _prepare(root)
    notes, stored = root / "notes.txt", dict[str, int]()
    instants = random.Random(0)  # the same on every run; the machine adds its own chance
    for round_number in range(rounds):
        with AgentProcess(root, *ANY_PORT) as agent:
            _check_jobs(agent, stored)
            until(partial(_has_started, notes, round_number + 1))
            killer = threading.Timer(instants.uniform(0.0, 0.3), agent.process.kill)
            _store_jobs_until_it_dies(agent, stored, killer)
            killer.join()
    acknowledged = _check_settings(notes, rounds)
    assert acknowledged > rounds
    assert stored.keys() == {"job-0", "job-1", "job-2"}
    (root / "Jobs" / "writer.json").unlink()
    with Agent(root, https_port=0) as after:
        assert int(after.settings["Counter"]["number"]) in {acknowledged, acknowledged + 1}
        assert after.jobs.ids() == ["job-0", "job-1", "job-2"]
        assert not [event for event in after.trace if event.action == "not_loaded"]
    assert not list(root.rglob("*.tmp*"))


def test_every_acknowledged_change_survives_four_kills(tmp_path: Path) -> None:
    """Jobs stored by an admin, settings written by a task, the agent killed at random."""
    _kill_again_and_again(tmp_path / "agent", 4)


@pytest.mark.slow
def test_every_acknowledged_change_survives_fifty_kills(tmp_path: Path) -> None:
    """The same, for longer."""
    _kill_again_and_again(tmp_path / "agent", 50)


def test_a_kill_during_the_start_leaves_a_root_that_starts(tmp_path: Path) -> None:
    """Five instants of it; the authority that is to be kept is whole, and no half file stays."""
    root = tmp_path / "agent"
    command = [sys.executable, "-m", "epm_task.cli", "agent", "--root", str(root), "--stable-ca"]
    command += ANY_PORT
    for number in range(5):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as starting:
            time.sleep(0.2 + number * 0.05)
            starting.kill()
            assert b"epm-task:" not in starting.communicate()[1]
    with Agent(root, stable_ca=True, https_port=0) as agent:
        assert agent.jobs.ids() == []
    assert not list(root.rglob("*.tmp"))
