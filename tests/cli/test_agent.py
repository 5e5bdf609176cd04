"""Tests of `epm-task agent` as a whole: the real command, as a process, stopped by signals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import sys
import time
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from admin.deploy.bundle_files import executable
from cli.command import Running, running, wait_until
from cli.command_line import epm_task as in_process
from peers.patience import PATIENCE, STARTING
from peers.task_process import STOP
from simulator.agent_process import add_program

from epm_task.cli.agent import AgentView
from epm_task.simulator.jobs.run import RunRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Writes its PID and that of its child, and then listens to nobody but SIGKILL.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(getattr(signal, "SIGBREAK", signal.SIGTERM), signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
with open(sys.argv[1], "w") as pids:
    print(os.getpid(), child.pid, file=pids)
time.sleep(60)
"""

#: A child of it asks until it gets an answer; the result holds all statuses.
ASKING = """
import json, ssl, sys, time
from urllib.error import HTTPError
from urllib.request import urlopen

context = ssl.create_default_context(cafile=sys.argv[2])
codes = []
while 200 not in codes:
    try:
        codes.append(urlopen(sys.argv[1], context=context).status)
    except HTTPError as error:
        codes.append(error.code)
    time.sleep(0.1)
print(json.dumps({"codes": codes}))
"""
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {ASKING!r}, *sys.argv[1:]], check=True)
"""


#: What each line of a run begins with.
CLOCK = r"(\d\d:\d\d:\d\d\.\d{3})  "

TALKS = """
import sys
from epm_task import TaskContext, Topic, task

NEWS = Topic("Jobs/talks/news")

@task(job_id="talks", publishes=[NEWS])
def talks(ctx: TaskContext):
    ctx.log.warning("said", word="of mouth")  # it comes on stderr, too
    ctx.publish(NEWS, {})
    print("token=abc", file=sys.stderr)

if __name__ == "__main__":
    talks.main()
"""


@contextmanager
def agent(root: Path, *options: object) -> Iterator[tuple[Running, dict[str, Any]]]:
    """Run an agent; yield it with the facts that it prints."""
    with running("agent", "--root", root, "--json", *options, scratch=root.parent) as command:
        assert command.process.stdout
        facts = json.loads(command.process.stdout.readline())
        yield command, facts


def call(facts: dict[str, Any], method: str, path: str, **more: Any) -> httpx.Response:
    """Call the API with the admin certificate."""
    context = ssl.create_default_context(cafile=facts["ca"])
    context.load_cert_chain(facts["admin_cert"], facts["admin_key"])
    with httpx.Client(base_url=facts["base_url"], verify=context, trust_env=False) as client:
        return client.request(method, path, timeout=PATIENCE, **more)


def job(job_id: str, **task: Any) -> dict[str, Any]:
    """Return a small job document."""
    tasks = [{"id": "t", "name": "T", "command": job_id, **task}]
    return {"id": job_id, "name": job_id, "events": ["Asked"], "tasks": tasks}


def refused(*options: object) -> str:
    """Return the one line with which an agent refuses to start; nothing comes on stdout."""
    ended = in_process("agent", *options)
    assert (ended.exit_code, ended.out, ended.err.count("\n")) == (1, "", 1), ended
    return ended.err


def test_table_for_people(tmp_path: Path) -> None:
    """Without `--json` a short table says where everything is; Ctrl-C ends the agent with 130."""
    root = tmp_path / "agent"
    with running("agent", "--root", root, scratch=tmp_path) as command:
        assert command.process.stdout
        lines = [command.process.stdout.readline().decode() for _ in range(9)]
        names = [line[:13].strip() for line in lines]
        assert names[:4] == ["base url", "broker host", "broker port", "ca"]
        assert names[4:] == ["admin cert", "admin key", "root", "log", "pid"]
        assert lines[-1].split() == ["pid", str(command.process.pid)]
        assert "\x1b" not in "".join(lines)
        command.signal(signal.SIGINT)
        ended = command.end()
        assert (ended.code, ended.err[-1]) == (130, "stopping; running tasks are ended first")
        assert command.leftovers() == []


def test_restart_finds_everything_again(tmp_path: Path) -> None:
    """Jobs, written settings, logs and the ports of `appsettings.json` are those of before."""
    root = tmp_path / "agent"
    add_program(root, "note", "print('{\"noted\": 1}')")
    with agent(root, "--setting", "P.k=compiled in") as (command, first):
        assert call(first, "POST", "/api/Jobs", json=job("note")).status_code == 200
        assert call(first, "POST", "/api/Jobs/note/trigger", json={}).status_code == 200
        history = root / "Log" / "runs.jsonl"
        wait_until(lambda: history.exists() and history.read_text().endswith("\n"))
        command.signal(STOP)
        assert command.end().code == 0
    with agent(root) as (_, again):
        assert again["base_url"] == first["base_url"]
        assert again["ca"] == first["ca"]
        assert call(again, "GET", "/api/Jobs/note").json()["id"] == "note"
    assert json.loads(history.read_text())["result"] == {"noted": 1}


def test_lines_of_runs(tmp_path: Path) -> None:
    """Each has its time and job: start, records, stderr, what was refused, and the end."""
    root = tmp_path / "agent"
    add_program(root, "talks", TALKS)
    broken = add_program(root, "broken", "hello\n")
    broken.rename(broken.with_name(executable("broken"))).chmod(0o755)
    with agent(root) as (command, facts):
        arguments = f"--keeper-api-base={{KeeperApiBaseUrl}} --ca-file={facts['ca']}"
        topics = {"allowedPublications": ["KeeperLogger"], "allowedSubscriptions": []}
        for document in (job("talks", arguments=arguments), job("broken")):
            document["mqttTopics"] = topics
            assert call(facts, "POST", "/api/Jobs", json=document).status_code == 200
            call(facts, "POST", f"/api/Jobs/{document['id']}/trigger", json={})
        history = root / "Log" / "runs.jsonl"
        wait_until(lambda: history.exists() and history.read_text().count("\n") == 2)
        command.signal(STOP)
        first, *lines = command.end().err
    assert first == "the agent is ready; Ctrl-C stops it"
    told = [each[2] for line in lines if (each := re.fullmatch(CLOCK + "(.+)", line))]
    assert next(x for x in told if x.startswith("talks  ")) == "talks  started   by trigger"
    for expected in (
        'talks  Warning   said  word="of mouth"',
        "talks  stderr    token=********",
        'talks  denied    a publication on "Jobs/talks/news" was dropped: ',
        "talks  ended     ",
        "broken  ended     ",
    ):
        assert sum(line.startswith(expected) for line in told) == 1, (expected, told)
    assert any("cannot be executed: it is" in line for line in told)
    assert not any("stderr    {" in line for line in told)
    assert not any(" connected " in line or "Plugin tier" in line for line in told)


def test_a_task_that_writes_much_holds_nothing_up() -> None:
    """Of its lines people get some in each second, and the number of the others."""
    stream = StringIO()
    view = AgentView(stream)
    request = view.start({"id": "talks"}, RunRequest())
    assert request.on_line is not None
    for _ in range(1000):
        request.on_line("stderr", b"a line\n")
    view.settle()
    shown = stream.getvalue()
    left_out = sum(map(int, re.findall(r"and (\d+) more \(lines of talks\)", shown)))
    assert shown.count("stderr    a line") + left_out == 1000
    assert left_out


def test_stop_ends_what_runs(tmp_path: Path) -> None:
    """A task that ignores SIGTERM is killed after the grace, with its children."""
    root, pids = tmp_path / "agent", tmp_path / "pids"
    add_program(root, "stubborn", STUBBORN)
    with agent(root) as (command, facts):
        document = job("stubborn", arguments=f'"{pids}"')
        assert call(facts, "POST", "/api/Jobs", json=document).status_code == 200
        call(facts, "POST", "/api/Jobs/stubborn/trigger", json={})
        wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"))
        command.signal(STOP)
        assert command.end().code == 0
        assert command.leftovers() == []
    assert len(pids.read_text().split()) == 2


def test_live_trace_and_trace_file(tmp_path: Path) -> None:
    """Decisions come on stderr as they are made, and as JSON lines in the file of `--trace`."""
    root, trace = tmp_path / "agent", tmp_path / "trace.jsonl"
    with agent(root, "--trace", trace, "--log-level", "warning") as (command, facts):
        with httpx.Client(verify=False, trust_env=False, timeout=PATIENCE) as stranger:
            url = f"{facts['base_url']}/api/PluginSettings/KeeperPrivilegeManager"
            assert stranger.get(url).status_code == 403
        assert "launched" in command.read_until("-> 403")[-1]
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    (denied,) = [event for event in events if event["denied"]]
    assert "launched" in denied["reason"]


def test_refusals_do_not_flood_stderr(tmp_path: Path) -> None:
    """A stranger asks as often as he can: the first refusals are lines, the others a number."""
    with agent(tmp_path / "agent") as (command, facts):
        with httpx.Client(verify=False, trust_env=False, timeout=PATIENCE) as stranger:
            url = f"{facts['base_url']}/api/PluginSettings/KeeperPrivilegeManager"
            started = time.monotonic()
            for _ in range(300):
                assert stranger.get(url).status_code == 403
            seconds = time.monotonic() - started
        shown = left_out = 0
        while shown + left_out < 300:
            line = command.read_until("\n")[-1]
            shown += "-> 403" in line
            left_out += int(line.split("agent: and ")[1].split()[0]) if "agent: and " in line else 0
    assert shown <= 10 * (seconds + 2)


def test_root_in_use(tmp_path: Path) -> None:
    """The second agent on a root is refused and names the PID; another root works beside it."""
    with agent(tmp_path / "one") as (command, _), agent(tmp_path / "two"):
        line = refused("--root", tmp_path / "one")
        assert f"is in use by process {command.process.pid}" in line
        assert command.process.poll() is None


@pytest.mark.parametrize("option", ["--https-port", "--mqtt-port", "--http-port"])
def test_port_in_use(tmp_path: Path, option: str) -> None:
    """A port that is taken names its holder."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        words = ["--https-port", 0] if option == "--http-port" else []
        line = refused("--root", tmp_path / "agent", *words, option, port)
        assert f"port {port} is in use by process {os.getpid()}" in line


def test_chosen_ports(tmp_path: Path) -> None:
    """The ports that were asked for are the ones that are printed."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        ports = one.getsockname()[1], two.getsockname()[1]
    with agent(tmp_path / "a", "--https-port", ports[0], "--mqtt-port", ports[1]) as (_, facts):
        assert facts["base_url"] == f"https://127.0.0.1:{ports[0]}"
        assert facts["broker_port"] == ports[1]


def test_unusable_root(tmp_path: Path) -> None:
    """A root below a file, and one that nobody can write, are clear errors."""
    (tmp_path / "file").write_text("")
    assert "cannot be used: Not a directory" in refused("--root", tmp_path / "file" / "root")
    if sys.platform == "linux":
        assert "cannot be used" in refused("--root", "/proc/agent")


@pytest.mark.parametrize(
    ("name", "content"),
    [("settings-store.json", "{broken"), ("settings-store.json", "[1]"), ("appsettings.json", "{")],
)
def test_corrupt_file(tmp_path: Path, name: str, content: str) -> None:
    """A corrupt store or configuration is refused with file and line, and is not overwritten."""
    root = tmp_path / "agent"
    root.mkdir()
    (root / name).write_text(content)
    line = refused("--root", root)
    assert f"{name}, line 1" in line
    assert "the file was not changed" in line
    assert (root / name).read_text() == content


def test_broken_job_file(tmp_path: Path) -> None:
    """It is reported with file, line and reason as the agent starts, and the others load."""
    jobs = tmp_path / "agent" / "Jobs"
    jobs.mkdir(parents=True)
    (jobs / "bad.json").write_text('{\n"id": }')
    (jobs / "good.json").write_text(json.dumps(job("good")))
    with agent(tmp_path / "agent") as (command, facts):
        told = command.read_until("bad.json")[-1]
        assert "bad.json, line 2" in told
        assert [one["id"] for one in call(facts, "GET", "/api/Jobs").json()["jobs"]] == ["good"]
    assert (jobs / "bad.json").read_text() == '{\n"id": }'


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--trust", "all", "choose one of exact, tree"),
        ("--registration-delay", "soon", "write 0.5, or 0.1-2"),
        ("--registration-delay", "-1", "is not a number of seconds"),
        ("--registration-delay", "2-1", "is not a number of seconds"),
        ("--registration-delay", "nan", "is not a number of seconds"),
        ("--log-level", "loud", "choose one of trace, debug"),
        ("--condition", "job", "write JOB=true or JOB=false"),
        ("--https-port", "70000", "'--https-port'"),
        ("--http-port", "-1", "'--http-port'"),
        ("--mqtt-port", "x", "'--mqtt-port'"),
    ],
)
def test_bad_option(tmp_path: Path, option: str, value: str, sentence: str) -> None:
    """A bad value is exit 2 and one line that names the option; nothing is created."""
    ended = in_process("agent", "--root", tmp_path / "agent", option, value)
    assert (ended.exit_code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert option in ended.err
    assert sentence in ended.err
    assert not (tmp_path / "agent").exists()


def test_trust_and_registration_delay(tmp_path: Path) -> None:
    """A child of a task that asks at once gets 403, and 200 once its parent is registered."""
    root = tmp_path / "agent"
    add_program(root, "ask", PARENT)
    arguments = '{KeeperApiBaseUrl}/api/PluginSettings/P "{approot}/certs/ca.pem"'
    document = job("ask", arguments=arguments)
    delay = f"{2 * STARTING}-{2 * STARTING + 1}"  # two interpreters start before
    words = ["--trust", "tree", "--registration-delay", delay, "--setting", "P.k=v"]
    with agent(root, *words) as (_, facts):
        call(facts, "POST", "/api/Jobs", json=document)
        call(facts, "POST", "/api/Jobs/ask/trigger", json={})
        history = root / "Log" / "runs.jsonl"
        wait_until(lambda: history.exists() and history.read_text().endswith("\n"))
    *refusals, last = json.loads(history.read_text())["result"]["codes"]
    assert (set(refusals), last) == ({403}, 200)


@pytest.mark.posix("POSIX modes")
def test_a_loose_umask_lets_nobody_else_write(tmp_path: Path) -> None:
    """Neither a folder nor a file of the root, nor the trace."""
    umask = os.umask(0)
    try:
        root = tmp_path / "agent"
        with agent(root, "--trace", tmp_path / "trace.jsonl") as (_, facts):
            add_program(root, "probe")
            call(facts, "POST", "/api/Jobs", json=job("probe", command="probe"))
            call(facts, "POST", "/api/Jobs/probe/trigger", json={})
            wait_until(lambda: (root / "Log" / "runs.jsonl").stat().st_size > 0)
            made = [root, tmp_path / "trace.jsonl", *root.rglob("*")]
            loose = {path.name for path in made if path.lstat().st_mode & 0o022}
    finally:
        os.umask(umask)
    assert loose == {"probe", "probe.py"}  # made by this test


def test_console_is_for_one_browser_at_a_time(tmp_path: Path) -> None:
    """The address is one of the facts; who opens it again finds the next one on the terminal."""
    with agent(tmp_path / "agent", "--console") as (command, facts):
        with httpx.Client(trust_env=False, timeout=PATIENCE) as first:
            assert first.get(facts["console"]).status_code == 303
        assert httpx.get(facts["console"], trust_env=False).status_code == 403
        *_, line = command.read_until("console: ")
        assert httpx.get(line.split()[1], trust_env=False).status_code == 303
        assert "-----BEGIN" not in json.dumps(facts)


def test_console_port(tmp_path: Path) -> None:
    """It implies the console; one that is taken is refused with its holder."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"port {port} is in use" in refused("--root", tmp_path, "--console-port", port)
