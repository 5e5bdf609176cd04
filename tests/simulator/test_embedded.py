"""Tests of the embedded agent, with real tasks."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import psutil
import pytest
from peers.patience import PATIENCE
from peers.task_process import send_signal
from simulator.agent_process import add_program
from simulator.started_process import KILLED, TASK_STOPPED
from simulator.task_files import SCANNER, SLEEP, TWO_TASKS, call, in_a_package, write

from epm_task.simulator.background import NoProcess
from epm_task.simulator.embedded import Agent, InvalidJob, StillRunning
from epm_task.simulator.jobs.store import UnknownJob
from epm_task.simulator.start_error import PortTaken, RootHeld, RootUnusable, UnusableFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from epm_task.runtime.task import Task


#: Asks for the settings from a child of its own, and tells the status.
ASKED_BY_A_CHILD = """
import subprocess, sys
ASK = '''
import ssl, sys, urllib.error, urllib.request
ca, base = sys.argv[1:]
try:
    context = ssl.create_default_context(cafile=ca)
    url = base + "/api/PluginSettings/KeeperPrivilegeManager"
    print(urllib.request.urlopen(url, context=context).status)
except urllib.error.HTTPError as error:
    print(error.code)
'''
asked = subprocess.run([sys.executable, "-c", ASK, *sys.argv[1:]], capture_output=True, text=True)
print(asked.stdout or asked.stderr, end="")
"""


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An agent that has just started, in which the condition of the job `picky` is not met."""
    with Agent(conditions={"picky": False}, grace_seconds=1.0) as agent:
        for command in ("true", "false"):
            add_program(agent.root, command)
        yield agent


@pytest.fixture
def true(tmp_path: Path) -> Path:
    """A program that does nothing, well."""
    return write(tmp_path, "", "nothing.py")


def test_sample_of_the_issue(agent: Agent, tmp_path: Path) -> None:
    """Settings are served, the result and the records come back, and waiting is not a denial."""
    (tmp_path / "a.pem").write_text("x" * 11)
    task = write(tmp_path, SCANNER)
    agent.settings["KeyScanner"]["max_bytes"] = "10"
    run = agent.run(task, parameters={"root": tmp_path}, registration_delay=0.2)
    assert run.exit_code == 0, run.stderr
    assert run.result == {"found": 0}
    assert run.records[-1].message == "scan_finished"
    assert run.records[-1].properties["found"] == 0
    assert not run.denials
    assert run.registration.tries >= 1
    assert 0.1 < (run.registration.seconds or 0) < run.seconds
    assert run.acknowledged == len(run.records)
    assert {record.source_channel for record in run.records} == {"broker"}


@pytest.mark.parametrize("packages", [("pack", "pack/inner"), ()])
def test_a_task_of_a_package(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...]
) -> None:
    """By its file, and as it was imported, from any working folder; what a package prints is noise.

    The working folder may hold a module that has the name of one of Python.
    """
    path = in_a_package(tmp_path, "from ..other import N", "pack/inner", packages)
    if packages:
        (path.parent / "__init__.py").write_text("from epm_task import task\nprint('noise')\n")
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere", "raise SystemExit('taken')", "platform.py")
    for target in (path, _imported(tmp_path, "pack.inner.tasks", monkeypatch)):
        run = agent.run(target, cwd=tmp_path / "elsewhere")
        assert (run.exit_code, run.stdout) == (0, b'{"n":3}\n'), run.stderr


def _imported(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Task[..., Any]:
    monkeypatch.syspath_prepend(str(root))
    with monkeypatch.context() as others:
        for loaded in [one for one in sys.modules if one.partition(".")[0] == "pack"]:
            others.delitem(sys.modules, loaded)
        module = importlib.import_module(name)
        for loaded in [one for one in sys.modules if one.partition(".")[0] == "pack"]:
            others.delitem(sys.modules, loaded)
    task: Task[..., Any] = module.count
    return task


def test_first_task_starts_after_less_than_a_second_of_work(tmp_path: Path, true: Path) -> None:
    """From nothing to a running process."""
    begun = time.process_time()
    with Agent() as agent:
        started = agent.start(true)
        assert started.pid
        assert time.process_time() - begun < 1
        started.wait()


def test_temporary_root_is_removed() -> None:
    """Nothing is left: no folder, no thread."""
    before = set(threading.enumerate())  # the agent of the fixtures may be there
    with Agent() as agent:
        root = agent.root
        assert (root / "Jobs" / "bin").is_dir()
        assert agent.log.is_file()
    assert not root.exists()
    assert set(threading.enumerate()) <= before


def test_given_root_is_kept_and_used_again(tmp_path: Path) -> None:
    """Jobs, settings and logs survive; the ports are in `appsettings.json`."""
    job = {"id": "j", "name": "J", "schedule": {"intervalMinutes": 5}, "x": [1]}
    job["tasks"] = [{"id": "t", "name": "T", "command": "true"}]
    add_program(tmp_path, "true")
    with Agent(tmp_path) as agent:
        agent.jobs.add(job)
        agent.settings["P"]["k"] = "v"
        agent.jobs.trigger("j")
        ports = json.loads((tmp_path / "appsettings.json").read_text())["Settings"]
        assert agent.base_url.endswith(f":{ports['KestrelHttpsPort']}")
    with Agent(tmp_path) as agent:
        assert agent.jobs.get("j") == job
        assert agent.settings["P"]["k"] == "v"
        assert agent.settings["KeeperPrivilegeManager"]["broker.port"] == str(agent.broker_port)
    line = json.loads((tmp_path / "Log" / "runs.jsonl").read_text())
    assert (line["jobId"], line["trigger"], line["exitCode"]) == ("j", "trigger", 0)


def test_two_agents_at_once(tmp_path: Path, true: Path) -> None:
    """On different roots both work; on one root the second is refused."""
    with Agent(tmp_path / "a") as one, Agent(tmp_path / "b") as two:
        assert one.base_url != two.base_url
        assert one.run(true).exit_code == two.run(true).exit_code == 0
        with pytest.raises(RootHeld, match=f"process {os.getpid()}"), Agent(tmp_path / "a"):
            pass
        assert one.run(true).exit_code == 0


@pytest.mark.parametrize("option", ["https_port", "mqtt_port", "http_port"])
def test_taken_port_names_its_holder(tmp_path: Path, option: str, true: Path) -> None:
    """The error says who has the port, and nothing stays open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} is in use by process {os.getpid()}"):
            Agent(tmp_path, **{option: port}).open()
    with Agent(tmp_path) as agent:
        assert agent.run(true).exit_code == 0


def test_unusable_root(tmp_path: Path) -> None:
    """A root below a file, and a corrupt store, are clear errors; nothing is overwritten."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RootUnusable):
        Agent(tmp_path / "file" / "root").open()
    (tmp_path / "settings-store.json").write_text("{broken")
    with pytest.raises(UnusableFile, match=r"settings-store\.json, line 1"):
        Agent(tmp_path).open()
    assert (tmp_path / "settings-store.json").read_text() == "{broken"


def test_broken_job_file_is_reported(tmp_path: Path) -> None:
    """The trace names file, line and reason; the other jobs load."""
    (tmp_path / "Jobs").mkdir()
    (tmp_path / "Jobs" / "bad.json").write_text('{\n"id": }')
    (tmp_path / "Jobs" / "good.json").write_text('{"id": "good", "tasks": [5]}')
    with Agent(tmp_path) as agent:
        assert agent.jobs.ids() == ["good"]
        assert any("bad.json, line 2" in event.reason for event in agent.trace)
        assert "malformed" in agent.jobs.trigger("good").problem


def test_values_are_passed_whole(agent: Agent, tmp_path: Path) -> None:
    """Blanks, quotes, backslashes, lists and flags arrive as they were given."""
    task = write(tmp_path, TWO_TASKS, "my 'task' {home}.py")
    words = ["a  b", "\"'", "\\", "--flag", ""]
    run = agent.run(task, task="talker", parameters={"words": words, "flag": True})
    assert run.exit_code == 0, run.stderr
    assert run.result == {"words": words, "flag": True}
    result = agent.run(task, task="talker", arguments=["--words=x y"]).result
    assert result is not None
    assert result["words"] == ["x y"]


def test_denied_topic_is_seen_by_the_agent_only(tmp_path: Path) -> None:
    """The task ends well, and the run's denials name the topic and the line to add."""
    task = write(tmp_path, TWO_TASKS)
    with Agent(deny=["Jobs/talker/news"]) as agent:
        run = agent.run(task, task="talker")
        assert run.exit_code == 0, run.stderr
        (denial,) = run.denials
        assert denial.facts["topic"] == "Jobs/talker/news"
        assert "allowedPublications" in denial.reason
        assert "dropped" in json.loads((agent.log.parent / "runs.jsonl").read_text())["denials"][0]
    with Agent() as agent:
        assert not agent.run(task, task="talker").denials


def test_other_processes_are_refused(agent: Agent) -> None:
    """This process was not launched: 403 without a hint; the Admin tier needs the certificate."""
    status, body = call(agent, "/api/PluginSettings/KeeperPrivilegeManager")
    assert (status, b"launched" in body) == (403, False)
    assert "not launched" in agent.trace.denials[-1].reason or "no process" in str(
        agent.trace.denials[-1]
    )
    assert call(agent, "/api/Jobs")[0] == 403
    assert call(agent, "/api/Jobs", admin=True)[0] == 200


def test_job_over_the_api(agent: Agent) -> None:
    """A stored job is triggered with a context, and its run is in the history."""
    job: dict[str, Any] = {
        "id": "by-api",
        "name": "By API",
        "events": ["Custom"],
        "parameters": [{"name": "Word", "required": True}],
        "tasks": [{"id": "t", "name": "T", "command": "say", "arguments": '"{Word}"'}],
    }
    add_program(agent.root, "say", "import json, sys\nprint(json.dumps({'word': sys.argv[1]}))\n")
    body = json.dumps(job).encode()
    assert call(agent, "/api/Jobs", method="POST", body=body, admin=True)[0] == 200
    context = b'{"Word": "x y"}'
    path = "/api/Jobs/by-api/trigger"
    assert call(agent, path, method="POST", body=context, admin=True)[0] == 200
    agent.jobs.wait()
    (run,) = agent.jobs.ended("by-api")
    assert run.result == {"word": "x y"}
    assert call(agent, path, method="POST", body=b"{}", admin=True)[0] == 200
    agent.jobs.wait()
    assert "'Word' is required" in agent.jobs.ended()[-1].problem


@pytest.mark.parametrize(("trust", "status"), [("exact", "403"), ("tree", "200")])
def test_child_of_a_task(tmp_path: Path, trust: Literal["exact", "tree"], status: str) -> None:
    """What a task starts has the Plugin tier with `tree` only; the denial says why."""
    script = write(tmp_path, ASKED_BY_A_CHILD, "ask.py")
    with Agent(trust=trust) as agent:
        job = {
            "id": "ask",
            "tasks": [
                {
                    "id": "t",
                    "executablePath": str(script),
                    "arguments": f'"{agent.ca}" {{KeeperApiBaseUrl}}',
                }
            ],
        }
        run = agent.run_job(job)
    assert run.stdout.decode().strip() == status
    assert [("trust is exact" in denial.reason) for denial in run.denials] == (
        [True] if trust == "exact" else []
    )


def test_background_run(agent: Agent, tmp_path: Path) -> None:
    """A run can be waited for in vain, asked to stop, and killed."""
    task = write(tmp_path, TWO_TASKS)
    seen = threading.Event()
    started = agent.start(task, task="sleeper", on_record=lambda record: seen.set())
    assert seen.wait(PATIENCE)
    assert started.running
    with pytest.raises(TimeoutError):
        started.wait(0.01)
    started.terminate()
    run = started.wait(PATIENCE)
    assert run.exit_code == TASK_STOPPED
    assert run.pid == started.pid
    killed = agent.start(write(tmp_path, SLEEP, "long.py"))
    assert killed.pid
    killed.kill()
    assert killed.wait(PATIENCE).exit_code == KILLED


def test_nothing_to_wait_for(agent: Agent, tmp_path: Path) -> None:
    """A program that does not exist has no PID, and the run says 127."""
    started = agent.start(tmp_path / "absent")
    with pytest.raises(NoProcess, match="no process was started"):
        assert started.pid
    assert started.wait().exit_code == 127


def test_timeout(agent: Agent, tmp_path: Path) -> None:
    """A task that takes longer than its time-out is ended and says so."""
    run = agent.run(write(tmp_path, SLEEP), timeout=0.2)
    assert run.timed_out
    assert run.exit_code != 0


def test_close_ends_what_runs(tmp_path: Path) -> None:
    """The end of the agent is the end of its tasks and of what they started."""
    child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    script = write(tmp_path, f"import subprocess, sys\n{2 * child}{SLEEP}", "long.py")
    with Agent(grace_seconds=0.5) as agent:
        pid = agent.start(script).pid
        while len(psutil.Process(pid).children()) < 2:
            time.sleep(0.005)
        family = [psutil.Process(pid), *psutil.Process(pid).children()]
    assert not [
        process for process in family if process.is_running() and process.status() != "zombie"
    ]


def test_interval_job_on_a_moved_clock(agent: Agent) -> None:
    """A job of every 60 minutes runs once in 61."""
    tasks = [{"id": "t", "name": "T", "command": "true"}]
    agent.jobs.add(
        {"id": "hourly", "name": "H", "schedule": {"intervalMinutes": 60}, "tasks": tasks}
    )
    before = agent.clock.now()
    agent.clock.advance(minutes=61)
    agent.jobs.wait()
    assert [run.trigger for run in agent.jobs.ended("hourly")] == ["interval"]
    assert (agent.clock.now() - before).total_seconds() >= 61 * 60


def test_reset(agent: Agent, tmp_path: Path) -> None:
    """After a reset the agent is as new: no run, job, fault or written setting."""
    started = agent.start(write(tmp_path, SLEEP, "long.py"))
    assert started.pid
    agent.settings["P"]["k"] = "v"
    agent.faults.api(status=500)
    job = {"id": "j", "name": "J", "events": ["E"]}
    agent.jobs.add(job | {"tasks": [{"id": "t", "name": "T", "command": "true"}]})
    agent.reset()
    assert started.wait(PATIENCE).exit_code != 0
    assert agent.jobs.ids() == []
    assert "P" not in agent.settings
    assert agent.run(write(tmp_path, TWO_TASKS), task="talker").exit_code == 0


def test_minimum_level_of_the_log(tmp_path: Path) -> None:
    """The field's default hides what the run still knows."""
    task = write(tmp_path, TWO_TASKS)
    with Agent(log_level="Warning") as agent:
        run = agent.run(task, task="talker")
        assert "talked" in [record.message for record in run.records]
        assert agent.log.read_bytes() == b""


def test_trace_file(tmp_path: Path, true: Path) -> None:
    """Every decision is a JSON line."""
    file = tmp_path / "trace.jsonl"
    with Agent(trace_file=file) as agent:
        agent.run(true)
        count = len(agent.trace)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) >= count
    assert {"at", "kind", "action", "what", "denied", "reason", "facts"} == lines[0].keys()


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """It ends the task, the temporary root and the process."""
    long = write(tmp_path, SLEEP, "long.py")
    code = (
        "import signal; from epm_task.simulator.embedded import Agent\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup ignores it\n"
        "with Agent(grace_seconds=0.5) as agent:\n"
        f"    started = agent.start({str(long)!r})\n"
        "    print(started.pid, flush=True)\n"
        "    started.wait()\n"
    )
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    env = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        send_signal(process, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert b"KeyboardInterrupt" in err
    assert b"Warning" not in err
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert list(scratch.iterdir()) == []


def _job(job_id: str, command: str, **more: Any) -> dict[str, Any]:
    task = {"id": "t", "name": "T", "command": command, **more.pop("task", {})}
    return {"id": job_id, "name": job_id, "events": ["E"], "tasks": [task], **more}


def test_invalid_job_is_refused(agent: Agent) -> None:
    """The full validator runs, and nothing is stored."""
    with pytest.raises(InvalidJob, match="binary not found"):
        agent.jobs.add(_job("j", "no-such-program"))
    assert agent.jobs.ids() == []


def test_unknown_job(agent: Agent) -> None:
    """A job that is not stored can be neither read, triggered nor deleted."""
    for verb in (
        agent.jobs.get,
        agent.jobs.trigger,
        agent.jobs.delete,
    ):
        with pytest.raises(UnknownJob):
            verb("nobody")


def test_alternative_job_runs(agent: Agent) -> None:
    """A condition that is not met leads to the stored job that `alternateJobId` names."""
    condition = {"condition": {"x": 1}, "alternateJobId": "other"}
    agent.jobs.add(_job("picky", "false", **condition))
    assert "no alternateJobId names a job" in agent.jobs.trigger("picky").skipped
    agent.jobs.add(_job("other", "true"))
    run = agent.jobs.trigger("picky")
    assert (run.exit_code, run.job_id) == (0, "other")


def test_plugin_setting_skips_a_task(agent: Agent) -> None:
    """The setting is looked up in the agent's own store; an unknown plugin skips nothing."""
    agent.jobs.add(_job("j", "true", task={"SkipWhenPluginSettingFalse": "Scanner:enabled"}))
    assert not agent.jobs.trigger("j").tasks[0].skipped
    agent.settings["Scanner"]["enabled"] = "false"
    assert "enabled of Scanner is false" in agent.jobs.trigger("j").tasks[0].skipped


def test_wait_is_bounded(agent: Agent) -> None:
    """A run that goes on is not waited for beyond the time."""
    add_program(agent.root, "long", SLEEP)
    agent.jobs.add(_job("long", "long", schedule={"intervalMinutes": 1}))
    agent.clock.advance(minutes=3)
    with pytest.raises(StillRunning, match="still goes on"):
        agent.jobs.wait(0.02)
    assert agent.jobs.ended() == []


def test_reset_forgets_jobs_and_programs() -> None:
    """The next test finds neither documents nor what a test put into `Jobs/bin`."""
    with Agent() as agent:
        add_program(agent.root, "true")
        agent.jobs.add(_job("j", "true"))
        program = agent.root / "Jobs" / "bin" / "Probe"
        program.mkdir()
        (program / "Probe").write_text("x")
        (program.parent / "stray").write_text("x")
        agent.reset()
        assert agent.jobs.ids() == []
        assert list(program.parent.iterdir()) == []
