"""Clients that are not ours against the assembled agent: curl, mosquitto, gmqtt, a task in sh."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import PATIENCE
from simulator.agent_process import AgentProcess, add_script, until
from simulator.broker.foreign_program import needed_program
from simulator.task_files import TWO_TASKS, write

from epm_task.simulator.embedded import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHELL = pytest.mark.posix("the task is a shell script")
_VERSIONS = pytest.mark.parametrize("version", ["311", "5"])
_QOS = pytest.mark.parametrize("qos", ["0", "1", "2"])

#: Reads the settings with curl, and the broker's port out of them with sed.
READ_SETTINGS = """#!/bin/sh
set -e
curl -s -o settings.json -w '{"status": %{http_code}}' --cacert "$2" \\
  "$1/api/PluginSettings/KeeperPrivilegeManager"
"""
PUBLISH = """
port=$(sed -n 's/.*"broker.port": *"\\([0-9]*\\)".*/\\1/p' settings.json)
mosquitto_pub -h 127.0.0.1 -p "$port" --cafile "$2" -i "${KEEPER_JOB_ID}_1" -q 1 \\
  -t KeeperLogger -m '{"level": "Information", "message": "from sh"}'
"""

GMQTT = """
import asyncio, contextlib, os, ssl, sys
import gmqtt

async def main(port, ca, version, qos):
    client = gmqtt.Client(os.environ["KEEPER_JOB_ID"] + "_run1")
    context = ssl.create_default_context(cafile=ca)
    await client.connect("127.0.0.1", port, ssl=context, version=version)
    done, qos_0 = asyncio.Event(), qos == 0
    client.on_message = lambda *_: done.set() or 0
    subscribed = asyncio.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.subscribe("news/own", qos=qos)
    await asyncio.wait_for(subscribed.wait(), 5)
    for number in range(20):
        client.publish("KeeperLogger", {"level": "Warning", "message": f"number {number}"}, qos=qos)
    client.publish("news/undeclared", "lost", qos=qos)
    client.publish("news/own", "x", qos=qos)
    await asyncio.wait_for(done.wait(), 5)
    # asyncio's TLS complains when the broker's last acknowledgement crosses its own goodbye.
    with contextlib.suppress(ssl.SSLError):
        await client.disconnect()

asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """One agent for the tests that leave nothing behind."""
    with Agent(grace_seconds=1.0) as running:
        yield running


def _curl(facts: dict[str, Any], path: str, *options: str, admin: bool = True) -> tuple[str, str]:
    """Return the status, and the body, that curl gets."""
    who = ["--cert", facts["admin_cert"], "--key", facts["admin_key"]] if admin else []
    command = [needed_program("curl"), "-s", "-m", "10", "-w", "\n%{http_code}"]
    where = ["--cacert", facts["ca"], facts["base_url"] + path]
    done = subprocess.run(
        [*command, *who, *options, *where], capture_output=True, text=True, check=True
    )
    body, _, status = done.stdout.rpartition("\n")
    return status, body


def _post(body: object) -> list[str]:
    return ["-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(body)]


def _history(root: Path) -> list[dict[str, Any]]:
    file = root / "Log" / "runs.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _job(job_id: str, task: dict[str, Any], **fields: Any) -> dict[str, Any]:
    topics = {"allowedPublications": ["KeeperLogger"], "allowedSubscriptions": []}
    return {
        "id": job_id,
        "name": job_id,
        "events": ["Asked"],
        "mqttTopics": topics,
        "tasks": [{"id": "one", "command": job_id, **task}],
        **fields,
    }


@_SHELL
@pytest.mark.parametrize("trust", ["tree", "exact"])
def test_curl_drives_an_agent_from_a_terminal(tmp_path: Path, trust: str) -> None:
    """A job is listed, created, triggered, deleted; its script reads settings with tree trust only.

    The same curl without a certificate, or from the shell outside a job, gets 403, whatever trust.
    """
    root = tmp_path / "a"
    add_script(root, "ask", READ_SETTINGS)
    task = {"arguments": '{KeeperApiBaseUrl} "{approot}/certs/ca.pem"'}
    with AgentProcess(root, "--trust", trust) as agent:
        facts = agent.facts
        assert _curl(facts, "/api/Jobs", admin=False)[0] == "403"
        assert _curl(facts, "/api/PluginSettings/KeeperPrivilegeManager", admin=False)[0] == "403"
        assert _curl(facts, "/api/PluginSettings/KeeperPrivilegeManager")[0] == "403"
        assert json.loads(_curl(facts, "/api/Jobs")[1])["count"] == 0
        assert _curl(facts, "/api/Jobs", *_post(_job("ask", task)))[0] == "200"
        assert json.loads(_curl(facts, "/api/Jobs")[1])["jobs"][0]["id"] == "ask"
        assert _curl(facts, "/api/Jobs/ask/trigger", *_post({}))[0] == "200"
        (run,) = until(lambda: _history(root))
        assert _curl(facts, "/api/Jobs/ask", "-X", "DELETE")[0] == "200"
        assert _curl(facts, "/api/Jobs/ask")[0] == "404"
    assert run["exitCode"] == 0
    assert run["result"] == {"status": 200 if trust == "tree" else 403}
    told = "is a child of launched process" in agent.said.read_text()
    assert told == (trust == "exact")
    assert bool(run["denials"]) == (trust == "exact")


@_SHELL
def test_a_task_in_sh_reads_settings_and_publishes(tmp_path: Path) -> None:
    """With curl it finds the broker, with mosquitto_pub it writes a record."""
    needed_program("mosquitto_pub")
    with Agent(tmp_path / "a", trust="tree") as agent:
        add_script(agent.root, "talk", READ_SETTINGS + PUBLISH)
        run = agent.run_job(_job("talk", {"arguments": f'{{KeeperApiBaseUrl}} "{agent.ca}"'}))
        assert run.exit_code == 0, run.stderr
        assert run.result == {"status": 200}
        assert [record.message for record in run.records] == ["from sh"]
        assert json.loads(agent.log.read_text())["message"] == "from sh"


@_VERSIONS
@_QOS
def test_a_launched_mosquitto_pub_is_a_task(agent: Agent, version: str, qos: str) -> None:
    """Its record is taken; one on an undeclared topic vanishes, and the client sees success."""
    for topic, taken in (("KeeperLogger", True), ("Elsewhere", False)):
        options = f"-V mqttv{version} -q {qos} -t {topic}"
        where = f'-h 127.0.0.1 -p {agent.broker_port} --cafile "{agent.ca}"'
        message = """-m '{"level": "Error", "message": "hello"}'"""
        task = {
            "executablePath": needed_program("mosquitto_pub"),
            "arguments": f"{where} -i pub_1 {options} {message}",
        }
        run = agent.run_job(_job("pub", task))
        assert (run.exit_code, run.stderr) == (0, b"")
        assert [record.level for record in run.records] == ["Error"] * taken
        assert len(run.denials) == (not taken)


def test_a_mosquitto_pub_that_was_not_launched_is_refused(agent: Agent) -> None:
    """A right client id does not help; the trace says why."""
    command = [needed_program("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(agent.broker_port)]
    options = ["--cafile", str(agent.ca), "-i", "pub_1", "-t", "KeeperLogger", "-m", "x"]
    mark = agent.trace.mark()
    done = subprocess.run([*command, *options], capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode
    (denial,) = [event for event in agent.trace.since(mark) if event.denied]
    assert "launched by this agent" in denial.reason


@_VERSIONS
@_QOS
def test_mosquitto_sub_with_the_admin_certificate_sees_a_tasks_records(
    agent: Agent, tmp_path: Path, version: str, qos: str
) -> None:
    """As long as it subscribes; any client id will do."""
    command = [needed_program("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(agent.broker_port)]
    files = ["--cafile", agent.ca, "--cert", agent.admin_cert, "--key", agent.admin_key]
    options = ["-V", f"mqttv{version}", "-q", qos, "-t", "#", "-W", "10", "-C", "2", "-i", "me"]
    mark = agent.trace.mark()
    with subprocess.Popen([*command, *map(str, files), *options], stdout=subprocess.PIPE) as sub:
        until(lambda: any('subscribes to "#"' in e.what for e in agent.trace.since(mark)))
        run = agent.run(write(tmp_path, TWO_TASKS), task="talker", parameters={"words": ["a"]})
        lines = sub.communicate(timeout=PATIENCE)[0].splitlines()
    assert run.exit_code == 0
    messages = [json.loads(line) for line in lines if line]
    assert [m.get("message") for m in messages] == ["talked", None]
    assert messages[1] == {"words": ["a"]}


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_launched_gmqtt_is_a_task(agent: Agent, tmp_path: Path, version: int, qos: int) -> None:
    """A second client library: 20 records arrive in order, what is undeclared does not."""
    pytest.importorskip("gmqtt", reason="gmqtt is not installed (pip install gmqtt)")
    script = write(tmp_path, GMQTT, "foreign.py")
    own = ["news/own"]
    task = {
        "executablePath": sys.executable,
        "arguments": f'"{script}" {agent.broker_port} "{agent.ca}" {version} {qos}',
    }
    topics = {"allowedPublications": ["KeeperLogger", *own], "allowedSubscriptions": own}
    run = agent.run_job(_job("foreign", task, mqttTopics=topics))
    assert run.exit_code == 0, run.stderr.decode()
    assert [record.message for record in run.records] == [f"number {n}" for n in range(20)]
    assert [event.facts["topic"] for event in run.denials] == ["news/undeclared"]
