"""Tests of single checks, where a whole diagnosis would hide what they see."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import credential_of, job_document
from peers import second_user
from peers.http_answer import plain_tcp
from peers.http_peer import HttpPeer

from epm_task.admin.credential import Credential
from epm_task.admin.doctor.check_agent import check_plugins, check_root, check_tls
from epm_task.admin.doctor.check_binary import check_binaries
from epm_task.admin.doctor.check_job import (
    FIXES,
    check_broker,
    check_job,
    check_last_run,
    check_topics,
    differences,
)
from epm_task.admin.doctor.finding import Case, Finding, State
from epm_task.admin.settings import DEFAULT_BASE_URL, AdminSettings
from epm_task.contract.layout import AgentRoot
from epm_task.exit_code import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from epm_task.testing import Agent


def case_of(root: Path | None = None, base_url: str = DEFAULT_BASE_URL, **more: Any) -> Case:
    """Return a case without a credential."""
    settings = AdminSettings(base_url, more.pop("credential", Credential()), {})
    return Case(settings, root=AgentRoot(root) if root else None, **more)


def seen(check: Callable[[Case], Iterator[Finding]], case: Case) -> list[tuple[str, str]]:
    """Return state and sentence of each finding."""
    return [(finding.state.value, finding.what) for finding in check(case)]


def with_document(root: Path, **fields: Any) -> Case:
    """Return a case whose document is known."""
    case = case_of(root, job_id="probe")
    case.document = job_document(**fields)
    return case


def test_the_port_comes_from_the_agents_folder(agent: Agent) -> None:
    """Unless one was given, which is then compared."""
    case = case_of(agent.root)
    assert [state for state, _ in seen(check_root, case)] == ["ok"]
    assert case.base_url == agent.base_url
    other = case_of(agent.root, "https://127.0.0.1:1")
    assert [state for state, _ in seen(check_root, other)] == ["ok", "note"]


def test_a_folder_that_is_no_agents_is_a_fault(tmp_path: Path) -> None:
    """The folders that are missing are named."""
    assert "no folder" in seen(check_root, case_of(tmp_path / "none"))[0][1]
    states = seen(check_root, case_of(tmp_path))
    assert [state for state, _ in states] == ["fault", "unknown"]
    assert "Jobs is missing" in states[0][1].replace(os.sep + "bin", "")


def test_plain_http_at_the_port_is_told(tmp_path: Path) -> None:
    """For example the agent's HTTP port."""
    with HttpPeer([plain_tcp()]) as peer:
        case = case_of(base_url=peer.base_url)
        case.listening = True
        ((state, what),) = seen(check_tls, case)
    assert (state, "no TLS is spoken" in what) == ("fault", True)


def test_without_the_agent_the_document_on_disk_counts(tmp_path: Path) -> None:
    """As when no credential was given."""
    case = case_of(tmp_path, job_id="probe")
    (tmp_path / "Jobs").mkdir()
    assert seen(check_job, case)[0][0] == "fault"
    file = tmp_path / "Jobs" / "probe.json"
    file.write_text("{")
    assert "line 1, column 2" in seen(check_job, case)[0][1]
    file.write_text(json.dumps(job_document()))
    assert seen(check_job, case) == [("ok", "probe is there and enabled")]
    assert seen(check_job, case_of(job_id="probe"))[0][0] == "unknown"


def test_a_job_for_another_system_is_a_note(tmp_path: Path) -> None:
    """Its binary need not be here."""
    (tmp_path / "Jobs").mkdir()
    nowhere = job_document(osFilter={"windows": False, "linux": False, "macOS": False})
    (tmp_path / "Jobs" / "probe.json").write_text(json.dumps(nowhere))
    case = case_of(tmp_path, job_id="probe")
    assert "excludes this system" in seen(check_job, case)[0][1]
    assert seen(check_binaries, case) == []


def test_differences_name_their_place() -> None:
    """JSON pointers, with both values."""
    one = {"a": [1, {"b": True}], "c": "x" * 50, "same": 0}
    other = {"a": [1, {"b": 1}], "d": None, "e": 1, "same": 0}
    assert list(differences(one, other)) == [
        "/a/1/b is true, in the code 1",
        f'/c is "{"x" * 36}…, in the code absent',
        "/e is absent, in the code 1",
    ]


def test_an_event_topic_must_be_allowed_too(tmp_path: Path) -> None:
    """Its messages would vanish."""
    case = with_document(tmp_path, eventTopic="Jobs/probe/events")
    assert "Jobs/probe/events is not allowed" in seen(check_topics, case)[0][1]


def test_what_the_code_publishes_must_be_allowed(tmp_path: Path) -> None:
    """The document is older than the code."""
    case = with_document(tmp_path)
    case.built = job_document(mqttTopics={"allowedPublications": ["KeeperLogger", "news"]})
    assert "news is not allowed" in seen(check_topics, case)[0][1]


def test_a_binary_of_another_machine_is_a_fault(tmp_path: Path) -> None:
    """Both machines are named."""
    path = tmp_path / "Jobs" / "bin" / "probe" / "probe"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"MZ" + bytes(58) + b"\x40\0\0\0" + b"PE\0\0\x64\xaa")
    path.chmod(0o755)
    found = {f.check: f for f in check_binaries(with_document(tmp_path))}
    assert "windows on arm64" in found["architecture"].what
    assert found["architecture"].state is State.FAULT


def test_a_plugin_with_broken_settings_is_a_fault(tmp_path: Path) -> None:
    """A file that is there must be JSON; one that is good is fine."""
    plugins = tmp_path / "Plugins"
    plugins.mkdir()
    (plugins / "Good.json").write_text("{}")
    (plugins / "Bad.json").write_text("{")
    case = case_of(tmp_path, plugins=("Good", "Bad", "None", "KeeperPrivilegeManager"))
    assert [state for state, _ in seen(check_plugins, case)] == ["ok", "fault", "unknown"]
    assert seen(check_plugins, case_of(plugins=("Good",)))[0][0] == "unknown"


@pytest.mark.parametrize(
    ("fields", "state", "words"),
    [
        ({"exitCode": 0}, "ok", "exit 0"),
        ({"exitCode": 77}, "fault", "NOPERM"),
        ({"exitCode": 3}, "fault", "the author's own"),
        ({"exitCode": -9, "tasks": [{"timedOut": True}]}, "fault", "at its timeoutSeconds"),
        ({"exitCode": 127, "problem": "no program"}, "fault", "no program"),
    ],
)
def test_the_last_run_is_explained(
    tmp_path: Path, fields: dict[str, Any], state: str, words: str
) -> None:
    """By the exit codes of this package, and what the agent noted."""
    case = case_of(tmp_path, job_id="probe")
    assert "no run history" in seen(check_last_run, case)[0][1]
    history = AgentRoot(tmp_path).run_history
    history.parent.mkdir()
    history.write_text("")
    assert "has not run yet" in seen(check_last_run, case)[0][1]
    history.write_text(json.dumps({"id": "r", "jobId": "probe", **fields}))
    found = seen(check_last_run, case)
    assert (found[0][0], words in found[0][1]) == (state, True)


def test_what_the_agent_dropped_silently_is_told(tmp_path: Path) -> None:
    """The task itself ended well."""
    history = AgentRoot(tmp_path).run_history
    history.parent.mkdir()
    run = {"id": "r", "jobId": "probe", "exitCode": 0, "denials": ["PUBLISH news"]}
    history.write_text(json.dumps(run))
    found = seen(check_last_run, case_of(tmp_path, job_id="probe"))
    assert [state for state, _ in found] == ["ok", "fault"]


def test_each_exit_code_of_a_failure_has_a_fix() -> None:
    """Those of a stop from outside are no failures of the set-up."""
    stops = {ExitCode.OK, ExitCode.SIGINT, ExitCode.SIGTERM, ExitCode.SIGBREAK}
    assert set(ExitCode) - stops <= FIXES.keys()


def test_a_broker_is_looked_for_where_the_disk_says(agent: Agent, tmp_path: Path) -> None:
    """A known address where nobody listens is a fault; the usual one is only a guess."""
    plugins = tmp_path / "Plugins"
    plugins.mkdir()
    file = plugins / "KeeperPrivilegeManager.json"
    file.write_text(json.dumps({"broker.port": str(agent.broker_port)}))
    case = case_of(tmp_path, credential=credential_of(agent))
    assert seen(check_broker, case)[0][0] == "ok"
    assert seen(check_broker, case_of(tmp_path))[0][0] == "note"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        file.write_text(json.dumps({"broker.port": free.getsockname()[1]}))
        assert seen(check_broker, case_of(tmp_path))[0][0] == "fault"


@pytest.mark.skipif(sys.platform == "win32", reason="PATH is looked at as on POSIX")
def test_a_program_on_path_is_found(tmp_path: Path) -> None:
    """As the agent does, after its own folder."""
    case = with_document(tmp_path, tasks=[{"id": "one", "command": "sh"}])
    found = {f.check: f for f in check_binaries(case)}
    assert found["binary"].what.endswith("/sh")


def test_without_a_folder_the_files_are_not_examined(tmp_path: Path) -> None:
    """What would help is told."""
    assert seen(check_root, case_of())[0][0] == "unknown"
    for name in ("Jobs/bin",):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "appsettings.json").write_text("{}")
    case = case_of(tmp_path)
    assert seen(check_root, case) == [("ok", str(tmp_path))]
    assert case.base_url == DEFAULT_BASE_URL


@pytest.mark.parametrize(
    ("task", "root", "state"),
    [
        ({"command": "no-such-program"}, False, "unknown"),
        ({"command": "no-such-program"}, True, "fault"),
        ({"command": "a/b"}, True, "fault"),
        ({"command": "x", "executablePath": "/no/such/program"}, False, "fault"),
    ],
)
def test_a_program_that_is_nowhere_is_told(
    tmp_path: Path, task: dict[str, Any], state: str, *, root: bool
) -> None:
    """An `executablePath` is the only place looked at."""
    case = with_document(tmp_path, tasks=[{"id": "one", **task}])
    case.root = case.root if root else None
    ((found, _),) = seen(check_binaries, case)
    assert found == state


def test_a_file_of_no_known_kind_is_a_note(tmp_path: Path) -> None:
    """The agent may know its extension."""
    path = tmp_path / "program.ps1"
    path.write_text("Write-Output hello")
    case = with_document(tmp_path, tasks=[{"id": "one", "executablePath": str(path)}])
    found = {f.check: f for f in check_binaries(case)}
    assert found["architecture"].state is State.NOTE
    assert "one-dir" not in found


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root starts a second user's process"
)
def test_a_foreign_broker_is_a_fault() -> None:
    """It may pose as the broker."""
    with second_user.listener() as (port, _):
        ((state, what),) = seen(check_broker, case_of(broker=("127.0.0.1", port)))
    assert (state, "pose as the broker" in what) == ("fault", True)
