"""Tests of what the console knows of runs: real tasks, with all that they say and do."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from simulator.agent_process import add_program
from simulator.task_files import write

from epm_task.simulator.broker import Message

if TYPE_CHECKING:
    from simulator.console.visitor import Visitor

    from epm_task.simulator.jobs.run import Run
    from epm_task.testing import Agent

MARKUP = "<img src=x onerror=alert(1)>\x1b[31m\u202e\x00 end"
LARGE = 60 << 10

SPEAKER = f'''
import sys
from epm_task import TaskContext, Topic, task

NEWS = Topic("Jobs/speaker/news")

@task(publishes=[NEWS])
def speaker(ctx: TaskContext):
    """Say much."""
    ctx.log.info({MARKUP!r}, markup={MARKUP!r}, password="hunter2", nested={{"api_key": "hunter2"}})
    ctx.log.info("large", text="x" * {LARGE})
    ctx.log.warning("careful")
    try:
        int("no number")
    except ValueError:
        ctx.log.exception("failed")
    ctx.publish(NEWS, {{"found": 3, "token": "hunter2"}})
    print("a line of password=hunter2", file=sys.stderr)
    return {{"found": 3, "secret": "hunter2"}}

if __name__ == "__main__":
    speaker.main()
'''


@pytest.fixture(scope="module")
def spoken(agent: Agent, visitor: Visitor, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has said much; the visitor was there before."""
    assert visitor.state()["runs"] == []
    return agent.run(write(tmp_path_factory.mktemp("task"), SPEAKER))


@pytest.fixture(scope="module")
def details(visitor: Visitor, spoken: Run) -> Any:
    """All that the console knows of it."""
    return visitor.json(f"runs/{spoken.run_id}")


def test_records_of_a_run(visitor: Visitor, details: Any) -> None:
    """Each is there once, with level, fields and stack, as JSON, whatever it holds."""
    first, large, warning, failed = details["records"]
    assert first["message"] == MARKUP
    assert first["fields"]["markup"] == MARKUP
    assert (large["message"], len(large["fields"]["text"])) == ("large", LARGE)
    assert (warning["level"], warning["channel"]) == ("Warning", "broker")
    assert failed["exception"].startswith("Traceback")
    assert "ValueError" in failed["exception"]
    assert "exception" not in failed["fields"]
    numbers = [record["id"] for record in details["records"]]
    assert numbers == sorted(set(numbers))
    assert details["run"]["records"] == 4
    assert visitor.state()["records"] == details["records"]


def test_no_secret_is_shown(visitor: Visitor, spoken: Run, details: Any) -> None:
    """What has the name of a secret is masked in records, messages, outputs and the result."""
    assert spoken.result == {"found": 3, "secret": "hunter2"}
    assert details["result"] == {"found": 3, "secret": "********"}
    assert "password=********" in details["stderr"]
    for path in ("state", f"runs/{spoken.run_id}"):
        assert "hunter2" not in visitor.get(path).text
    last = visitor.state()["lastId"]
    told = visitor.until(0, lambda event: event.number == last)
    assert "hunter2" not in json.dumps([event.data for event in told])


def test_time_line_of_a_run(details: Any) -> None:
    """What the agent sees from outside, in order, and how the time was spent between."""
    points = [point["what"] for point in details["points"] if point["what"] != "403"]
    assert points == ["started", "registered", "broker", "flush", "exit"]
    times = [point["at"] for point in details["points"]]
    assert times == sorted(times)
    phases = details["run"]["phases"]
    assert [phase["name"] for phase in phases] == ["register", "connect", "handler", "flush"]
    for before, after in pairwise(phases):
        assert before["to"] == after["from"]
    assert phases[-1]["to"] <= details["run"]["seconds"] + 0.001


def test_messages_outputs_and_document(details: Any) -> None:
    """What it published, what it wrote, and what it was started with."""
    (message,) = details["messages"]
    assert (message["topic"], message["qos"]) == ("Jobs/speaker/news", 1)
    assert json.loads(message["payload"]) == {"found": 3, "token": "********"}
    assert details["run"]["stderr"] is True
    assert details["document"]["id"] == "speaker"
    assert details["truncated"] == {"records": 0, "messages": 0, "decisions": 0}
    assert any("starts, trigger trigger" in each["what"] for each in details["decisions"])


def test_run_of_a_job_that_is_not_stored(visitor: Visitor, spoken: Run) -> None:
    """It is in the list of jobs, as one that only ran."""
    (job,) = visitor.state()["jobs"]
    assert (job["id"], job["stored"], job["running"]) == ("speaker", False, 0)
    assert (job["lastRun"], job["lastExit"], job["lastExitName"]) == (spoken.run_id, 0, "OK")


def test_what_a_program_of_another_kind_does(agent: Agent, visitor: Visitor) -> None:
    """A shell script has a handler and no registration; a skipped run has a name for its end."""
    add_program(agent.root, "talk", "print('0123456789\\n' * 400_000 + 'end')\n")
    task = {"id": "t", "command": "talk"}
    run = agent.run_job({"id": "talk", "tasks": [task]})
    details = visitor.json(f"runs/{run.run_id}")
    assert [phase["name"] for phase in details["run"]["phases"]] == ["handler"]
    assert details["stdout"].endswith("bytes more were not kept)\n")
    assert len(details["stdout"]) < 65 << 10
    nowhere = {"windows": False, "linux": False, "macOS": False}
    run = agent.run_job({"id": "nowhere", "tasks": [task], "osFilter": nowhere})
    details = visitor.json(f"runs/{run.run_id}")
    assert (details["run"]["exitName"], details["run"]["phases"]) == ("skipped", [])
    assert "osFilter" in details["skipped"]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"message": "deep", "properties": ' + b'{"a":' * 700 + b"1" + b"}" * 701,
        b'{"message": "wide", "level": "Loud", "timestamp": "never", "properties": {"n": NaN}}',
        b"\xff\xfe no JSON",
        b'{"message": "' + b"<" * (128 << 10) + b'"}',
        b'{"message": {"a": "\\ud800"}, "runId": 3, "seq": "x", "properties": [1]}',
    ],
    ids=["deep", "wide", "bytes", "large", "types"],
)
def test_records_of_strangers(agent: Agent, visitor: Visitor, payload: bytes) -> None:
    """Who has the admin certificate may publish anything; it is shown, and the agent goes on."""
    before = visitor.state()["lastId"]
    add = agent._local.broker.publish
    agent.call_in_loop(lambda: add(Message("KeeperLogger", payload)))
    (event,) = visitor.until(before, lambda event: event.kind == "record")
    assert (event.data["runId"], event.data["level"]) == (None, "Information")
    assert isinstance(event.data["message"], str)
    assert not [each for each in agent.trace if each.action == "failed"]


def test_memory_is_bounded(agent: Agent, visitor: Visitor) -> None:
    """Of 200 runs the details are kept, of all records the last 10 000, and it says so."""

    def _publish() -> None:
        for number in range(10_050):
            agent._local.broker.publish(Message("KeeperLogger", b'{"message": "%d"}' % number))

    agent.call_in_loop(_publish)
    state = visitor.state()
    assert state["oldestRecord"] >= 50
    assert (len(state["records"]), state["records"][-1]["message"]) == (1000, "10049")
    for _ in range(201):
        agent.run_job({"id": "many", "tasks": [], "osFilter": {"linux": False, "macOS": False}})
    assert len(visitor.state()["runs"]) == 200


def test_decisions_of_other_threads(agent: Agent, visitor: Visitor) -> None:
    """A fault that a test switches on in its own thread reaches the page."""
    before = visitor.state()["lastId"]
    agent.faults.api(status=503, times=1)
    *_, event = visitor.until(before, lambda event: event.kind == "faults")
    assert [fault["text"] for fault in event.data] == ["api status=503 times=1"]


def test_a_defect_of_the_console_does_not_stop_the_agent(
    agent: Agent, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """What it cannot take is logged with its traceback; the agent and the page go on."""
    before = visitor.state()["lastId"]
    no_text: Any = 5
    agent.call_in_loop(lambda: agent.trace.add("api", "answered", no_text, denied=True))
    assert "the console has missed something" in caplog.text
    add_program(agent.root, "true")
    run = agent.run_job({"id": "on", "tasks": [{"id": "t", "command": "true"}]})
    visitor.until(before, lambda event: event.kind == "run" and event.data["id"] == run.run_id)
