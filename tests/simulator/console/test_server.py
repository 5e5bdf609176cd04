"""Tests of what a page can ask for and do: jobs, faults, settings, files; and of start and end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from simulator.agent_process import add_program, until
from simulator.console.visitor import Visitor
from simulator.task_files import write

from epm_task.simulator.console.documents import FAULT_KINDS
from epm_task.simulator.faults.rule import parse_rule
from epm_task.simulator.start_error import PortTaken
from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READER = """
from epm_task import TaskSettings, task

class Settings(TaskSettings, plugin="Reader"):
    size: int = 1

@task(broker="optional")
def reader(settings: Settings):
    \"\"\"Read settings.\"\"\"

if __name__ == "__main__":
    reader.main()
"""


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """An agent with a console, and settings of each layer."""
    built_in = {"Reader": {"size": "1", "color": "red", "api_key": "hunter2"}}
    with Agent(console_port=0, settings=built_in) as agent:
        add_program(agent.root, "true")
        yield agent


def job(job_id: str, **more: Any) -> dict[str, Any]:
    """Return a small job."""
    return {"id": job_id, "name": job_id, "tasks": [{"id": "t", "command": "true"}], **more}


def shown(visitor: Visitor, job_id: str) -> dict[str, Any]:
    """Return a job as the page gets it."""
    return next(each for each in visitor.state()["jobs"] if each["id"] == job_id)


def test_trigger_fills_the_parameters(agent: Agent, visitor: Visitor) -> None:
    """The form's values become the context; the new run is known, and told as it goes on."""
    said = "import json, sys\nprint(json.dumps({'said': ' '.join(sys.argv[1:])}))\n"
    add_program(agent.root, "echo", said)
    task = {"id": "t", "command": "echo", "arguments": '"{Greeting}" {Count} {Extra} {approot}'}
    parameters = [
        {"name": "Greeting", "type": "string", "required": True},
        {"name": "Count", "type": "integer", "default": 3},
        {"name": "ApiToken", "type": "string", "default": "hunter2"},
    ]
    agent.jobs.add(job("greet", tasks=[task], parameters=parameters))
    keys = ("name", "type", "required", "default", "secret")
    found = [tuple(each[key] for key in keys) for each in shown(visitor, "greet")["parameters"]]
    assert found == [
        ("Greeting", "str", True, None, False),
        ("Count", "int", False, "3", False),
        ("ApiToken", "str", False, "•••", True),
        ("Extra", "str", False, None, False),
    ]
    before = visitor.state()["lastId"]
    context = {"Greeting": "hello you", "Extra": "x", "password": "hunter2"}
    answer = visitor.post("jobs/greet/trigger", {"context": context})
    run_id = answer.json()["runId"]
    told = visitor.until(before, lambda e: e.kind == "job" and e.data["lastRun"] == run_id)
    rows = [e.data for e in told if e.kind == "run" and e.data["id"] == run_id]
    assert [rows[0]["ended"], rows[-1]["ended"]] == [False, True]
    assert (rows[-1]["exitCode"], rows[-1]["exitName"]) == (0, "OK")
    details = visitor.json(f"runs/{run_id}")
    assert details["result"]["said"].startswith("hello you 3 x ")
    assert details["context"] == {**context, "password": "********"}
    assert details["run"]["trigger"] == "trigger"


def test_job_that_is_switched_off(agent: Agent, visitor: Visitor) -> None:
    """It is stored as disabled, nothing starts it, and nothing else of it has changed."""
    document = job("nightly", schedule={"cronExpression": "0 4 * * *"}, custom=[1])
    agent.jobs.add(document)
    before = shown(visitor, "nightly")
    assert (before["schedule"], before["nextDue"][11:16]) == ("cron 0 4 * * *", "04:00")
    assert visitor.post("jobs/nightly/enabled", {"enabled": "no"}).status_code == 400
    assert visitor.post("jobs/nightly/enabled", {"enabled": False}).json() == {"enabled": False}
    assert agent.jobs.get("nightly") == {**document, "enabled": False}
    now = shown(visitor, "nightly")
    assert (now["enabled"], now["nextDue"]) == (False, None)
    assert visitor.post("jobs/nightly/trigger", {}).status_code == 409
    assert visitor.post("jobs/nightly/enabled", {"enabled": True}).status_code == 200
    assert shown(visitor, "nightly") == before


def test_faults_are_switches(agent: Agent, visitor: Visitor) -> None:
    """One is added, used up, switched on again and off, and the pages are told."""
    before = visitor.state()["lastId"]
    (fault,) = visitor.post("faults", {"text": "run disk_full times=1"}).json()
    assert fault == {
        "id": "0", "text": "run disk_full=true times=1", "on": True, "fired": 0, "left": 1,
    }  # fmt: skip
    agent.run_job(job("full"))
    (used,) = visitor.state()["faults"]
    assert used == {**fault, "on": False, "fired": 1, "left": 0}
    (again,) = visitor.post("faults/0", {"on": True}).json()
    assert again == {**fault, "fired": 1}
    (off,) = visitor.post("faults/0", {"on": False}).json()
    assert (off["on"], off["left"]) == (False, 1)
    agent.run_job(job("not-full"))
    assert visitor.state()["faults"] == [off]
    told = visitor.until(before, lambda event: event.kind == "faults" and event.data == [off])
    assert [e.data for e in told if e.kind == "faults"][:2] == [[fault], [used]]
    answer = visitor.post("faults", {"text": "api statsu=403"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "api has no fault 'statsu'", "fix": "did you mean status?"}
    for number in ("1", "-1", "x"):
        assert visitor.post(f"faults/{number}", {"on": True}).status_code == 404


@pytest.mark.parametrize("kind", FAULT_KINDS, ids=lambda kind: str(kind["text"]))
def test_faults_to_begin_with(kind: dict[str, str]) -> None:
    """Each line that the page offers is one that the command line takes, with its words."""
    rule = parse_rule(kind["text"])
    assert (str(rule).startswith(rule.kind), bool(kind["help"])) == (True, True)


def test_settings_have_layers(agent: Agent, visitor: Visitor, tmp_path: Path) -> None:
    """The value that counts, the layer that it comes from, and who read it last; no secrets."""
    (agent.root / "Plugins" / "Reader.json").write_text('{"size": 2, "shape": "round"}')
    agent.settings["Reader"]["shape"] = "square"
    run = agent.run(write(tmp_path, READER))
    found = {each["key"]: each for each in visitor.json("settings") if each["plugin"] == "Reader"}
    assert {key: (each["value"], each["layer"]) for key, each in found.items()} == {
        "api_key": ("•••", "built in"),
        "color": ("red", "built in"),
        "shape": ("square", "written"),
        "size": ("1", "built in"),  # the file came after the start, and nobody imported it
    }
    assert {each["lastSeen"]["runId"] for each in found.values()} == {run.run_id}
    assert "hunter2" not in visitor.get("settings").text


def test_agent_without_its_keys(agent: Agent, visitor: Visitor) -> None:
    """The page learns where the agent is, and no key of it; its commands name the real paths."""
    text = visitor.get("state").text
    assert "PRIVATE KEY" not in text
    assert agent.admin_key.read_text().splitlines()[1] not in text
    state = json.loads(text)
    assert state["agent"]["baseUrl"] == agent.base_url
    assert state["agent"]["broker"] == f"{agent.broker_host}:{agent.broker_port}"
    first, _, last = state["commands"]
    assert str(agent.root / "Plugins") in first
    assert f"--base-url {agent.base_url} --cacert " in last
    assert str(agent.ca) in last


def has_ended(visitor: Visitor, run_id: str) -> bool:
    """Tell whether a run has ended."""
    return bool(visitor.json(f"runs/{run_id}")["run"]["ended"])


def test_hostile_documents(agent: Agent, visitor: Visitor) -> None:
    """Files that were dropped into `Jobs/`, whatever they hold, are shown as data."""
    markup = "</script><img src=x onerror=alert(1)>\x1b[31m\u202e"
    odd: list[dict[str, Any]] = [
        {"name": markup, "schedule": markup, "parameters": markup, "tasks": 7, "events": {}},
        {"name": [1], "schedule": {"intervalMinutes": markup}, "parameters": [3, {"name": [1]}]},
        {"schedule": {"cronExpression": {}}, "events": [markup, {"eventType": [markup]}, 3]},
        {"schedule": {"calendar": 3}, "tasks": [1, {"arguments": 5}], "mqttTopics": 3},
    ]
    for number, document in enumerate(odd):
        file = agent.root / "Jobs" / f"odd-{number}.json"
        file.write_text(json.dumps({"id": f"odd-{number}", **document}))
    agent.call_in_loop(agent._local.jobs.reload)
    answer = visitor.get("state")
    assert answer.headers["Content-Type"].startswith("application/json")
    found = {each["id"]: each for each in answer.json()["jobs"]}
    assert found["odd-0"]["name"] == markup
    assert (
        found["odd-2"]["schedule"]
        == f"on {markup}, ['{markup}'], 3".replace("\x1b", "\\x1b").replace("\u202e", "\\u202e", 1)
        or markup in found["odd-2"]["schedule"]
    )
    for number in range(len(odd)):
        run_id = visitor.post(f"jobs/odd-{number}/trigger", {}).json()["runId"]
        until(partial(has_ended, visitor, run_id))
    assert visitor.post(f"jobs/{quote(markup, safe='')}/trigger", {}).status_code == 404


def test_end_of_the_agent_is_told(tmp_path: Path) -> None:
    """A page learns that the agent stops, after the ends of the runs that were ended for it."""
    agent = Agent(tmp_path, console_port=0)
    agent.open()
    assert agent.console
    with Visitor(agent.console) as visitor:
        try:
            add_program(agent.root, "long", "import time\ntime.sleep(60)\n")
            agent.jobs.add(job("long", tasks=[{"id": "t", "command": "long"}]))
            run_id = visitor.post("jobs/long/trigger", {}).json()["runId"]
            until(lambda: agent._local.history.live and agent._local.history.live[0].process)
            last = visitor.state()["lastId"]
        except BaseException:
            agent.close()
            raise
        with visitor.stream(last) as events:
            agent.close()
            told = list(events)
    assert told[-1].kind == "end"
    ended = [e.data for e in told if e.kind == "run" and e.data["id"] == run_id][-1]
    assert ended["ended"]
    assert ended["exitCode"] not in {None, 0}


def test_port_that_is_taken(tmp_path: Path) -> None:
    """The agent says who has the port, starts nothing, and leaves its root free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} is in use by process {os.getpid()}"):
            Agent(tmp_path, console_port=port).open()
    with Agent(tmp_path, console_port=0):
        pass


def test_agent_without_a_console_does_not_load_it(tmp_path: Path) -> None:
    """Who asks for no page does not pay for it."""
    code = (
        "import sys; from epm_task.testing import Agent\n"
        "with Agent() as agent: assert agent.console is None\n"
        "print([n for n in sys.modules if '.console' in n])"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")
