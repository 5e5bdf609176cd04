"""Tests of what needs attention: denials and failures of a real agent, and what mends them."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from peers.patience import WINDOW
from simulator.agent_process import add_program
from simulator.task_files import call, write

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.console.visitor import Event, Visitor

    from epm_task.testing import Agent

TALKER = '''
from epm_task import TaskContext, TaskSettings, Topic, task

NEWS = Topic("Jobs/talker/news")
DONE = Topic("Jobs/talker/done")

class Unknown(TaskSettings, plugin="Nobody"):
    size: int = 1

@task(publishes=[NEWS, DONE], event_topic=DONE)
def talker(ctx: TaskContext):
    """Publish on two topics."""
    for number in range(3):
        ctx.publish(NEWS, {"number": number})
    ctx.publish(DONE, {})
    ctx.log.info("talked")

@task(broker="optional")
def asker(settings: Unknown):
    """Ask for settings that nobody has."""

if __name__ == "__main__":
    talker.main()
'''


def document(job_id: str, **more: Any) -> dict[str, Any]:
    """Return a job of one task, whose program has the name of the job."""
    step = {"id": "t", "name": "T", "command": job_id, **more.pop("task", {})}
    return {"id": job_id, "name": job_id, "tasks": [step], **more}


def entries(visitor: Visitor, kind: str, job_id: str | None) -> list[dict[str, Any]]:
    """Return what needs attention, of one kind and job; the stream has told the same."""
    found = visitor.state()["attention"]
    return [entry for entry in found if (entry["kind"], entry["jobId"]) == (kind, job_id)]


def is_about(entry: dict[str, Any], event: Event) -> bool:
    """Tell whether an event is that of an entry."""
    return bool(event.data == entry)


def test_dropped_topic_names_the_line(agent: Agent, visitor: Visitor, tmp_path: Path) -> None:
    """Each topic is one entry with its count; rule and line depend on what the topic is."""
    before = visitor.state()["lastId"]
    file = write(tmp_path, TALKER)
    allowed = {"mqttTopics": {"allowedPublications": ["Other"]}, "eventTopic": "Jobs/talker/done"}
    agent.run(file, task="talker", job=allowed)
    found = {entry["fix"]: entry for entry in entries(visitor, "topic", "talker")}
    fixes = {
        "KeeperLogger": ("EPM003", 1),
        "Jobs/talker/news": ("EPM026", 3),
        "Jobs/talker/done": ("EPM005", 1),
    }
    assert len(found) == len(fixes)
    for topic, (rule, times) in fixes.items():
        entry = found[f'add "{topic}" to mqttTopics.allowedPublications']
        assert (entry["rule"], entry["times"]) == (rule, times)
        assert entry["copy"] == f'"allowedPublications": ["Other", "{topic}"]'
        assert entry["what"] == f'a publication on "{topic}" was dropped'
        assert entry["explain"]
        assert entry["runId"] == visitor.state()["runs"][0]["id"]
        told = visitor.until(before, partial(is_about, entry))
        assert told[-1].kind == "attention"
    assert visitor.state()["runs"][0]["denied"] == 5


def test_failed_run_shows_its_last_lines(agent: Agent, visitor: Visitor) -> None:
    """The end of stderr, and the command that shows more; of a missing program, its cause."""
    record = '{"message": "m", "level": "Error", "runId": "r", "seq": 1}'
    lines = f"first\npassword=hunter2\n{record}"
    add_program(agent.root, "boom", f"import sys\nprint({lines!r}, file=sys.stderr)\nsys.exit(3)\n")
    run = agent.run_job(document("boom"))
    (entry,) = entries(visitor, "failed", "boom")
    assert entry["what"] == "boom ended with exit code 3 (the author's own)"
    assert entry["why"] == "first\npassword=********"
    assert entry["copy"] == f"epm-task runs show {run.run_id} --agent-root {agent.root}"
    agent.run_job(document("absent"))
    (entry,) = entries(visitor, "failed", "absent")
    assert "127" in entry["what"]
    assert str(agent.root / "Jobs" / "bin" / "absent") in entry["why"] + entry["fix"]


def test_process_that_is_never_registered(agent: Agent, visitor: Visitor, tmp_path: Path) -> None:
    """The 403s before a registration are told when it never came, as one entry."""
    agent.faults.registration(never=True, times=1)
    file = write(tmp_path, TALKER)
    arguments = [f"--registration-timeout={3 * WINDOW}"]  # a busy agent answers later than asked
    run = agent.run(file, task="talker", job={"id": "stranger"}, arguments=arguments)
    (entry,) = entries(visitor, "denied", "stranger")
    assert entry["fix"] == "switch the fault off"
    row = visitor.state()["runs"][0]
    assert (row["id"], row["denied"]) == (run.run_id, entry["times"])
    (failed,) = entries(visitor, "failed", "stranger")
    assert f" {run.exit_code} ({row['exitName']})" in failed["what"]


def test_late_registration_needs_no_attention(
    agent: Agent, visitor: Visitor, tmp_path: Path
) -> None:
    """A 403 before the registration is how it goes, and no denial."""
    file = write(tmp_path, TALKER)
    agent.faults.api(status=403, times=3)
    run = agent.run(file, task="talker", job={"id": "late"})
    assert run.registration.tries == 4
    assert entries(visitor, "denied", "late") == []
    details = visitor.json(f"runs/{run.run_id}")
    assert details["run"]["denied"] == 0
    assert [point["what"] for point in details["points"]].count("403") == 3


def test_unknown_settings(agent: Agent, visitor: Visitor) -> None:
    """A plugin that no layer knows: the file to write, and the line in it."""
    add_program(agent.root, "ask", TALKER.replace("talker.main", "asker.main"))
    arguments = '--task=asker --ca-file="{approot}/certs/ca.pem"'
    arguments += " --keeper-api-base={KeeperApiBaseUrl}"
    run = agent.run_job(document("ask", task={"arguments": arguments}))
    assert run.exit_code == 66, run.stderr
    (entry,) = entries(visitor, "setting", "ask")
    assert entry["what"] == "ask asked for the settings of Nobody"
    assert str(agent.root / "Plugins" / "Nobody.json") in entry["fix"].replace("/", os.sep)
    assert json.loads(entry["copy"])


def test_caller_that_was_not_launched(agent: Agent, visitor: Visitor) -> None:
    """A shell or an editor that asks is told apart from a run, and counted."""
    # A task that gave up before it was answered is such a caller, too.
    before = {entry["what"]: entry["times"] for entry in entries(visitor, "denied", None)}
    for _ in range(3):
        assert call(agent, "/api/PluginSettings/KeeperPrivilegeManager")[0] == 403
    assert call(agent, "/api/Jobs")[0] == 403
    found = entries(visitor, "denied", None)
    more = [entry["times"] - before.get(entry["what"], 0) for entry in found]
    assert (more, {entry["runId"] for entry in found}) == ([1, 3], {None})
    assert "certs/admin.pem" in found[0]["fix"]
    assert found[1]["fix"] == "let the agent start it: as a job, or with `epm-task run`"


def test_program_that_users_may_not_run(agent: Agent, visitor: Visitor) -> None:
    """The list in `appsettings.json`, and the name to add."""
    file = agent.root / "appsettings.json"
    settings = json.loads(file.read_text())
    settings["Settings"]["AllowedNonAdminExecutables"] = ["other"]
    file.write_text(json.dumps(settings))
    add_program(agent.root, "true")
    agent.run_job(document("true", task={"ExecutionType": "User"}))
    (entry,) = entries(visitor, "refused", "true")
    assert entry["fix"] == 'add "true" to AllowedNonAdminExecutables of appsettings.json'
    assert entry["rule"] == "EPM030"


def test_stopped_logger_and_a_job_that_is_never_due(agent: Agent, visitor: Visitor) -> None:
    """What refuses nothing, and what no run has asked for, is told as well."""
    (agent.root / "Jobs" / "never.json").write_text(
        json.dumps(document("never", schedule={"calendar": {"times": ["late"], "daysOfWeek": "x"}}))
    )
    assert call(agent, "/api/Jobs/reload", method="POST", admin=True)[0] == 200
    agent.clock.advance(minutes=1)
    told = visitor.state()["attention"]
    (entry,) = [one for one in told if one["kind"] == "job" and "never" in one["what"]]
    assert entry["what"] == "job never is never due"
    assert "'x' is not a day of the week" in entry["why"]


def test_many_entries_are_bounded(agent: Agent, visitor: Visitor) -> None:
    """The youngest 200 are kept, however many paths a stranger asks for, however long they are."""

    def _ask() -> None:
        for number in range(300):
            what = f"GET /{number} -> 403 {'x' * 5000}"
            agent.trace.add("api", "answered", what, denied=True, reason="no", status=403)

    agent.call_in_loop(_ask)
    found = visitor.state()["attention"]
    assert [entry["what"][:12] for entry in found[:2]] == ["GET /299 -> ", "GET /298 -> "]
    assert len(found) == 200
    assert all(len(entry["what"]) <= 2000 for entry in found)
