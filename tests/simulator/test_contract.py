"""Statements of the vendor's pages that no part of the agent can show alone."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from paho.mqtt.enums import CallbackAPIVersion
from peers.patience import PATIENCE, WINDOW
from peers.tls import certificate_pem, server_pem
from simulator.agent_process import add_program, until
from simulator.task_files import SCANNER, TWO_TASKS, call, write

from epm_task.admin.client import AdminClient
from epm_task.admin.credential import Credential
from epm_task.files import write_atomically
from epm_task.simulator.embedded import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"

JOB_ENDPOINTS: list[tuple[str, str, object]] = [
    ("GET", "/api/Jobs", None),
    ("POST", "/api/Jobs", {}),
    ("GET", "/api/Jobs/absent", None),
    ("PUT", "/api/Jobs/absent", {}),
    ("DELETE", "/api/Jobs/absent", None),
    ("POST", "/api/Jobs/validate", {}),
    ("POST", "/api/Jobs/absent/trigger", {}),
    ("POST", "/api/Jobs/absent/run", None),
    ("POST", "/api/Jobs/reload", None),
]
SETTINGS_ENDPOINTS = [
    ("GET", "/api/PluginSettings/Bridge", None),
    ("GET", "/api/PluginSettings/Bridge/key", None),
    ("PUT", "/api/PluginSettings/Bridge/key", {"value": "new"}),
    ("POST", "/api/PluginSettings/Bridge/revert", None),
    ("POST", "/api/PluginSettings/revert-all", None),
    ("GET", "/api/PluginSettings/Bridge/status", None),
    ("GET", "/api/PluginSettings/KeeperPrivilegeManager", None),
]

#: Calls each endpoint that its last argument lists, and prints the answers.
CALLER = """
import http.client, json, ssl, sys, urllib.parse

base, ca, endpoints = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
api = http.client.HTTPSConnection(urllib.parse.urlsplit(base).netloc, context=context, timeout=30)
answers = []
for method, path, body in json.loads(endpoints):
    text = None if body is None else json.dumps(body)
    api.request(method, path, text, {"Content-Type": "application/json"} if text else {})
    answer = api.getresponse()
    answers.append([answer.status, json.loads(answer.read())])
print(json.dumps({"answers": answers}))
"""


#: Prints its arguments, as they came.
ECHO = "import sys\nsys.stdout.buffer.write(f\"{' '.join(sys.argv[1:])}\\n\".encode())\n"

SPEAKER = '''
from epm_task import TaskContext, Topic, task

EVENTS = Topic("Jobs/speaker/events")

@task(publishes=[EVENTS])
def speaker(ctx: TaskContext):
    """Publish one event."""
    ctx.publish(EVENTS, {"event": "done"})

if __name__ == "__main__":
    speaker.main()
'''


FINDER = '''
from epm_task import TaskContext, Topic, task

EVENTS = Topic("Jobs/finder/events")

@task(event_topic=EVENTS)
def finder(ctx: TaskContext):
    """Publish an event."""
    ctx.publish(EVENTS, {"eventType": "Found", "Path": "/etc/a key.pem"})

if __name__ == "__main__":
    finder.main()
'''


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One agent with the plugin Bridge, and a program that calls it."""
    root = tmp_path_factory.mktemp("agent")
    (root / "Plugins").mkdir()
    (root / "Plugins" / "Bridge.json").write_text('{"key": "from disk"}')
    add_program(root, "caller", CALLER)
    add_program(root, "echo", ECHO)
    add_program(root, "true")
    with Agent(root, grace_seconds=1.0) as running:
        yield running


def _answers(agent: Agent, *endpoints: tuple[str, str, Any]) -> list[list[Any]]:
    """Return status and body of each endpoint, asked by a task."""
    parameter = {"name": "Endpoints", "type": "string", "required": True}
    arguments = '{KeeperApiBaseUrl} "{approot}/certs/ca.pem" "{Endpoints}"'
    tasks = [{"id": "t", "command": "caller", "arguments": arguments}]
    job = {"id": "caller", "name": "Caller", "parameters": [parameter], "tasks": tasks}
    run = agent.run_job(job, context={"Endpoints": json.dumps(endpoints)})
    assert run.result, run.stderr
    answers: list[list[Any]] = run.result["answers"]
    return answers


def _send(agent: Agent, endpoint: tuple[str, str, Any], *, admin: bool) -> tuple[int, Any]:
    method, path, body = endpoint
    data = None if body is None else json.dumps(body).encode()
    status, answer = call(agent, path, method=method, body=data, admin=admin)
    return status, json.loads(answer)


@pytest.mark.parametrize("endpoint", JOB_ENDPOINTS)
def test_job_management_needs_the_admin_certificate(agent: Agent, endpoint: Any) -> None:
    """All nine endpoints: a client without it learns nothing, not even what exists."""
    assert _send(agent, endpoint, admin=False) == (403, {"error": "Forbidden"})
    assert _send(agent, endpoint, admin=True)[0] in {200, 400, 404}


def test_plugin_settings_need_a_registered_process(agent: Agent) -> None:
    """All six endpoints: a task is served, this process is not, whatever it holds."""
    for endpoint in SETTINGS_ENDPOINTS:
        for admin in (False, True):
            assert _send(agent, endpoint, admin=admin) == (403, {"error": "Forbidden"})
    answers = _answers(agent, *SETTINGS_ENDPOINTS)
    assert [status for status, _ in answers] == [200] * len(SETTINGS_ENDPOINTS)
    assert answers[0][1] == {"key": "from disk"}
    assert answers[1][1] == "from disk"


def test_a_task_is_no_admin(agent: Agent) -> None:
    """All nine endpoints of the other tier are closed to it."""
    assert {status for status, _ in _answers(agent, *JOB_ENDPOINTS)} == {403}


def test_the_system_settings_name_the_running_broker(agent: Agent) -> None:
    """Host and port are those of this agent, as text, whatever else is there."""
    agent.settings["KeeperPrivilegeManager"]["some.other.key"] = "value"
    ((_, settings),) = _answers(agent, ("GET", "/api/PluginSettings/KeeperPrivilegeManager", None))
    assert settings == {
        "broker.host": agent.broker_host,
        "broker.port": str(agent.broker_port),
        "some.other.key": "value",
    }


def test_a_plugins_name_must_match_exactly(agent: Agent) -> None:
    """Another case is another plugin, and 404 is the answer."""
    answers = _answers(
        agent,
        ("GET", "/api/PluginSettings/bridge", None),
        ("GET", "/api/PluginSettings/keeperprivilegemanager", None),
        ("PUT", "/api/PluginSettings/Absent/key", {"value": "x"}),
    )
    assert [status for status, _ in answers] == [404, 404, 404]


def test_the_base_url_is_loopback_over_https(agent: Agent) -> None:
    """The port is that of `appsettings.json`, and the token has the same text."""
    ports = json.loads((agent.root / "appsettings.json").read_text())["Settings"]
    assert agent.base_url == f"https://127.0.0.1:{ports['KestrelHttpsPort']}"
    tasks = [{"id": "t", "command": "echo", "arguments": "{KeeperApiBaseUrl}"}]
    run = agent.run_job({"id": "echo", "name": "Echo", "tasks": tasks})
    assert run.stdout.decode() == f"{agent.base_url}\n"


def test_the_http_port_comes_from_the_file(tmp_path: Path) -> None:
    """As the HTTPS port does; it leads to HTTPS and serves nothing."""
    with Agent(tmp_path):
        before = json.loads((tmp_path / "appsettings.json").read_text())
    with Agent(tmp_path, http_port=None, https_port=None) as agent:
        assert json.loads((tmp_path / "appsettings.json").read_text()) == before
        port = before["Settings"]["KestrelHttpPort"]
        opener = urllib.request.build_opener(_NoRedirect)
        with pytest.raises(urllib.error.HTTPError) as raised:
            opener.open(f"http://127.0.0.1:{port}/api/Jobs", timeout=PATIENCE)
        with raised.value as answer:
            assert answer.code == 307
            assert answer.headers["Location"] == f"{agent.base_url}/api/Jobs"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def test_verification_may_be_off_on_loopback(agent: Agent) -> None:
    """A client without the CA is served, too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(
        f"{agent.base_url}/health", context=context, timeout=PATIENCE
    ) as answer:
        assert json.loads(answer.read())["status"] == "healthy"


def _certificate(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE)


def test_one_certificate_serves_both_ports_until_the_next_start(tmp_path: Path) -> None:
    """Its subject is Localhost; whoever pins it, or keeps the CA, is shut out after a restart."""
    with Agent(tmp_path) as agent:
        https = int(agent.base_url.rpartition(":")[2])
        first = _certificate(https)
        assert first == _certificate(agent.broker_port)
        subject = x509.load_pem_x509_certificate(first.encode()).subject
        assert subject.rfc4514_string() == "CN=Localhost"
        context = ssl.create_default_context(cafile=str(agent.ca))
    with Agent(tmp_path) as agent:
        assert _certificate(int(agent.base_url.rpartition(":")[2])) != first
        with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
            urllib.request.urlopen(f"{agent.base_url}/health", context=context, timeout=PATIENCE)


def test_a_password_opens_nothing(agent: Agent) -> None:
    """The vendor describes no user name: one is neither needed nor looked at."""
    codes: list[Any] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, "caller_1", protocol=paho.MQTTv5)
    client.username_pw_set("admin", "admin")
    client.tls_set(str(agent.ca))
    client.on_connect = lambda *words: codes.append(words[3])
    client.connect("127.0.0.1", agent.broker_port)
    client.loop_start()
    until(lambda: codes)
    client.loop_stop()
    client.disconnect()
    assert codes[0].value == 0x87


def test_an_event_topic_alone_allows_nothing(agent: Agent, tmp_path: Path) -> None:
    """Its messages vanish until it is in `allowedPublications`, and validate says so."""
    job = {
        "eventTopic": "Jobs/talker/news",
        "mqttTopics": {"allowedPublications": ["KeeperLogger"]},
    }
    run = agent.run(write(tmp_path, TWO_TASKS), task="talker", job=job)
    assert run.exit_code == 0
    assert [denial.facts["topic"] for denial in run.denials] == ["Jobs/talker/news"]
    status, verdict = _send(agent, ("POST", "/api/Jobs/validate", job), admin=True)
    assert status == 200
    assert any("eventTopic Jobs/talker/news is not in" in text for text in verdict["warnings"])


@pytest.mark.parametrize("allowed", [["KeeperLogger"], ["KeeperLogger", "Jobs/speaker/events"]])
def test_the_default_event_topic_must_be_allowed_too(
    agent: Agent, tmp_path: Path, allowed: list[str]
) -> None:
    """A job that names no `eventTopic` has `Jobs/{id}/events`; that alone allows nothing."""
    job = {"mqttTopics": {"allowedPublications": allowed}}
    run = agent.run(write(tmp_path, SPEAKER), job=job)
    assert run.exit_code == 0
    denied = [denial.facts["topic"] for denial in run.denials]
    assert denied == ([] if len(allowed) == 2 else ["Jobs/speaker/events"])


def test_an_argument_that_is_not_substituted_ends_our_task(agent: Agent, tmp_path: Path) -> None:
    """The agent passes `{Absent}` as it is; the runtime refuses to use it."""
    run = agent.run(write(tmp_path, SCANNER), arguments=["--root={Absent}"])
    assert run.exit_code == 64
    assert b"{Absent}" in run.stderr


@pytest.mark.parametrize(("job_id", "status"), [("my-job", 200), ("my_job", 400)])
def test_a_job_id_may_hold_hyphens_and_no_underscore(
    agent: Agent, job_id: str, status: int
) -> None:
    """The broker could not tell the job from the client id."""
    tasks = [{"id": "t", "command": "true"}]
    job = {"id": job_id, "name": "J", "events": ["Asked"], "tasks": tasks}
    found, answer = _send(agent, ("POST", "/api/Jobs", job), admin=True)
    assert found == status
    assert ("errors" in answer) == (status == 400)


def test_the_order_that_works(agent: Agent) -> None:
    """Binary, validate, register, trigger, log; before the binary is there nothing is stored."""
    tasks = [{"id": "t", "command": "late", "arguments": "{Word}"}]
    parameters = [{"name": "Word", "type": "string", "default": "again", "required": False}]
    events = [{"eventType": "Asked"}]
    job = {"id": "late", "name": "L", "events": events, "parameters": parameters, "tasks": tasks}
    status, answer = _send(agent, ("POST", "/api/Jobs", job), admin=True)
    assert status == 400
    assert "binary not found" in answer["errors"][0]
    add_program(agent.root, "late", "import json, sys\nprint(json.dumps({'word': sys.argv[1]}))\n")
    assert _send(agent, ("POST", "/api/Jobs/validate", job), admin=True)[1]["valid"]
    assert _send(agent, ("GET", "/api/Jobs/late", None), admin=True)[0] == 404
    assert _send(agent, ("POST", "/api/Jobs", job), admin=True)[0] == 200
    for body in ({"Word": "hello"}, {}, None):
        assert _send(agent, ("POST", "/api/Jobs/late/trigger", body), admin=True)[0] == 200
    assert _send(agent, ("POST", "/api/Jobs/late/run", None), admin=True)[0] == 200
    agent.jobs.wait()
    words = sorted(run.result["word"] for run in agent.jobs.ended("late") if run.result)
    assert words == ["again", "again", "again", "hello"]
    lines = (agent.root / "Log" / "runs.jsonl").read_text().splitlines()
    history = [json.loads(line) for line in lines]
    assert [line["exitCode"] for line in history if line["jobId"] == "late"] == [0] * 4


def test_a_policy_carries_a_job_as_text(agent: Agent) -> None:
    """The agent keeps the parsed `JobJson` as a file; dropped there by hand, `reload` finds it."""
    job = {"id": "fleet", "name": "Fleet", "events": ["Asked"], "tasks": [{"id": "t"}], "x": [1]}
    policy: dict[str, Any] = {
        "PolicyType": "JobUpdate",
        "Extension": {"JobId": "fleet", "Action": "Add", "JobJson": json.dumps(job)},
    }
    text = policy["Extension"]["JobJson"]
    (agent.root / "Jobs" / "fleet.json").write_text(text)
    assert _send(agent, ("POST", "/api/Jobs/reload", None), admin=True)[0] == 200
    assert _send(agent, ("GET", "/api/Jobs/fleet", None), admin=True) == (200, job)
    (agent.root / "Jobs" / "fleet.json").unlink()
    assert _send(agent, ("POST", "/api/Jobs/reload", None), admin=True)[0] == 200
    assert _send(agent, ("GET", "/api/Jobs/fleet", None), admin=True)[0] == 404


@pytest.mark.parametrize("key", ["ExecutionType", "executionType"])
def test_execution_type_has_two_spellings(agent: Agent, key: str) -> None:
    """Both are read; a user other than the agent's own is traced."""
    tasks = [{"id": "t", "command": "true", key: "UserDesktop"}]
    run = agent.run_job({"id": "who", "name": "W", "tasks": tasks})
    assert run.exit_code == 0
    assert any("asks for ExecutionType UserDesktop" in event.what for event in run.trace)


@pytest.mark.parametrize(("allowed", "exit_code"), [(["other"], 77), (["python3", "hello"], 0)])
def test_programs_of_users_must_be_listed(
    tmp_path: Path, allowed: list[str], exit_code: int
) -> None:
    """In `appsettings.json`, by base name; else they are not registered, and the trace says so."""
    section = {"AllowedNonAdminExecutables": allowed}
    (tmp_path / "appsettings.json").write_text(json.dumps({"Settings": section}))
    add_program(tmp_path, "hello", HELLO.read_text("utf-8"))
    with Agent(tmp_path) as agent:
        line = f'--keeper-api-base={{KeeperApiBaseUrl}} --ca-file="{agent.ca}"'
        line += f" --registration-timeout={WINDOW}"
        task = {"id": "t", "command": "hello", "arguments": line, "ExecutionType": "User"}
        topics = {"allowedPublications": ["KeeperLogger"]}
        job = {"id": "hello", "name": "H", "tasks": [task], "mqttTopics": topics}
        run = agent.run_job(job)
    assert run.exit_code == exit_code, run.stderr
    refused = [str(event) for event in run.denials if "AllowedNonAdminExecutables" in str(event)]
    assert bool(refused) == (exit_code == 77)


def test_a_startup_run_may_overlap_the_first_interval_run(tmp_path: Path) -> None:
    """The agent waits for neither."""
    add_program(tmp_path, "long", "import time\ntime.sleep(60)\n")
    tasks = [{"id": "t", "command": "long"}]
    job = {
        "id": "both",
        "name": "B",
        "events": [{"eventType": "Startup"}],
        "schedule": {"intervalMinutes": 1},
        "tasks": tasks,
    }
    (tmp_path / "Jobs" / "both.json").write_text(json.dumps(job))
    with Agent(tmp_path, grace_seconds=1.0) as agent:
        agent.clock.advance(minutes=2)  # due after one, looked at once a minute
        until(lambda: sum(event.action == "process_started" for event in agent.trace) == 2)
        assert agent.jobs.ended("both") == []
    started = [event.what for event in agent.trace if event.action == "run_started"]
    assert [text.rpartition(" ")[2] for text in started] == ["Startup", "interval"]


def test_a_published_event_starts_every_job_that_names_it(tmp_path: Path) -> None:
    """Its fields are the tokens of the runs, as those of a trigger are."""
    file = write(tmp_path, FINDER)
    tasks = [{"id": "t", "command": "echo", "arguments": '"{Path}"'}]
    with Agent() as agent:
        add_program(agent.root, "echo", ECHO)
        for job_id in ("one", "two"):
            events = [{"eventType": "Found"}]
            agent.jobs.add({"id": job_id, "name": job_id, "events": events, "tasks": tasks})
        agent.jobs.add({"id": "other", "name": "Other", "events": ["Lost"], "tasks": tasks})
        assert agent.run(file).exit_code == 0
        agent.jobs.wait(PATIENCE)
        runs = [run for run in agent.jobs.ended() if run.job_id != "finder"]
    assert sorted(run.job_id for run in runs) == ["one", "two"]
    assert {(run.trigger, run.stdout) for run in runs} == {("Found", b"/etc/a key.pem\n")}


def test_higher_priority_starts_first() -> None:
    """Of jobs that are due in the same minute; those of one priority in the order of their ids."""
    priorities = {"a": 1, "b": 10, "c": None, "d": 10, "e": 5, "f": 7}
    tasks = [{"id": "t", "command": "true"}]
    with Agent(start_time=dt.datetime(2026, 3, 2, 12, 30, tzinfo=dt.UTC)) as agent:
        add_program(agent.root, "true")
        for job_id, priority in priorities.items():
            job = {"id": job_id, "name": job_id, "schedule": {"runAt": "2026-03-02T13:00Z"}}
            agent.jobs.add({**job, "tasks": tasks, **({"priority": priority} if priority else {})})
        agent.clock.advance(hours=1)
        agent.jobs.wait(PATIENCE)
        started = [event for event in agent.trace if event.action == "process_started"]
    assert [event.facts["job_id"] for event in started] == ["b", "d", "f", "c", "e", "a"]


@pytest.mark.parametrize("variant", ["leaf", "issued"])
def test_a_sites_own_certificate_stays_over_restarts(
    tmp_path: Path, variant: Literal["leaf", "issued"]
) -> None:
    """Then the certificate itself, or its CA, is right for tasks and tooling, on both ports."""
    site, kept = tmp_path / "site.pem", tmp_path / "ca.pem"
    authority = certificate_pem(variant) if variant == "issued" else ""
    write_atomically(site, server_pem(variant) + authority.encode())
    kept.write_text(certificate_pem(variant))
    shown = set()
    for _ in range(2):
        with Agent(certificate=site) as agent:
            https = int(agent.base_url.rpartition(":")[2])
            shown |= {_certificate(https), _certificate(agent.broker_port)}
            with AdminClient(agent.base_url, Credential(ca=kept)) as admin:
                assert admin.health().status == "healthy"
            patient = [f"--flush-timeout={PATIENCE}"]
            run = agent.run(write(tmp_path, TWO_TASKS), task="talker", arguments=patient)
            assert (run.exit_code, bool(run.acknowledged)) == (0, True), run.stderr
    assert len(shown) == 1
