"""Tests of the checks of a job, where a whole diagnosis would hide what they see."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import job_document
from admin.doctor.setups import seen, setup_of, with_document
from peers.garbling import garbled

from epm_task.admin.doctor.check_binary import check_binaries
from epm_task.admin.doctor.check_job import (
    FIXES,
    check_drift,
    check_job,
    check_last_run,
    check_plugins,
    check_topics,
    differences,
)
from epm_task.admin.doctor.finding import State
from epm_task.contract.layout import AgentRoot
from epm_task.exit_code import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


def test_without_the_agent_the_document_on_disk_counts(tmp_path: Path) -> None:
    """As when no credential was given."""
    setup = setup_of(tmp_path, job_id="probe")
    (tmp_path / "Jobs").mkdir()
    assert seen(check_job, setup)[0][0] == "problem"
    file = tmp_path / "Jobs" / "probe.json"
    file.write_text("{")
    assert "line 1, column 2" in seen(check_job, setup)[0][1]
    file.write_text(json.dumps(job_document()))
    assert seen(check_job, setup) == [("ok", "probe is there and enabled")]
    assert seen(check_job, setup_of(job_id="probe"))[0][0] == "unknown"


def test_a_job_for_another_system_is_a_note(tmp_path: Path) -> None:
    """Its binary need not be here."""
    (tmp_path / "Jobs").mkdir()
    nowhere = job_document(osFilter={"windows": False, "linux": False, "macOS": False})
    (tmp_path / "Jobs" / "probe.json").write_text(json.dumps(nowhere))
    setup = setup_of(tmp_path, job_id="probe")
    assert "excludes this system" in seen(check_job, setup)[0][1]
    assert seen(check_binaries, setup) == []


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
    setup = with_document(tmp_path, eventTopic="Jobs/probe/events")
    assert "Jobs/probe/events is not allowed" in seen(check_topics, setup)[0][1]


def test_what_the_code_publishes_must_be_allowed(tmp_path: Path) -> None:
    """The document is older than the code."""
    setup = with_document(tmp_path)
    setup.built = job_document(mqttTopics={"allowedPublications": ["KeeperLogger", "news"]})
    assert "news is not allowed" in seen(check_topics, setup)[0][1]


def test_a_plugin_with_broken_settings_is_a_fault(tmp_path: Path) -> None:
    """A file that is there must be JSON; one that is good is fine."""
    plugins = tmp_path / "Plugins"
    plugins.mkdir()
    (plugins / "Good.json").write_text("{}")
    (plugins / "Bad.json").write_text("{")
    setup = setup_of(tmp_path, plugins=("Good", "Bad", "None", "KeeperPrivilegeManager"))
    assert [state for state, _ in seen(check_plugins, setup)] == ["ok", "problem", "unknown"]
    assert seen(check_plugins, setup_of(plugins=("Good",)))[0][0] == "unknown"


@pytest.mark.parametrize(
    ("fields", "state", "words"),
    [
        ({"exitCode": 0}, "ok", "exit 0"),
        ({"exitCode": 77}, "problem", "NOPERM"),
        ({"exitCode": 3}, "problem", "the author's own"),
        ({"exitCode": -9, "tasks": [{"timedOut": True}]}, "problem", "at its timeoutSeconds"),
        ({"exitCode": 127, "problem": "no program"}, "problem", "no program"),
    ],
)
def test_the_last_run_is_explained(
    tmp_path: Path, fields: dict[str, Any], state: str, words: str
) -> None:
    """By the exit codes of this package, and what the agent noted."""
    setup = setup_of(tmp_path, job_id="probe")
    assert "no run history" in seen(check_last_run, setup)[0][1]
    history = AgentRoot(tmp_path).run_history
    history.parent.mkdir()
    history.write_text("")
    assert "has not run yet" in seen(check_last_run, setup)[0][1]
    history.write_text(json.dumps({"id": "r", "jobId": "probe", **fields}))
    found = seen(check_last_run, setup)
    assert (found[0][0], words in found[0][1]) == (state, True)


def test_why_a_program_could_not_start_is_told_with_its_fix(tmp_path: Path) -> None:
    """In the words of the agent, and what a failed task wrote last."""
    history = AgentRoot(tmp_path).run_history
    history.parent.mkdir()
    why = {"what": "x cannot be executed", "why": "it is empty", "fix": "build it again"}
    tasks = [
        {"id": "one", "exitCode": 126, "startError": why, "stderrTail": ""},
        {"id": "two", "exitCode": 3, "startError": None, "stderrTail": "no disk\nbye\n"},
    ]
    run = {"id": "r", "jobId": "probe", "exitCode": 126, "problem": "x", "tasks": tasks}
    history.write_text(json.dumps(run))
    first, second = check_last_run(setup_of(tmp_path, job_id="probe"))
    assert (first.what, first.why, first.fix) == tuple(why.values())
    assert first.state is State.PROBLEM
    assert (second.what, second.why) == (
        "task two ended with 3; its last lines on stderr", "no disk\nbye",
    )  # fmt: skip


def test_what_the_agent_dropped_silently_is_told(tmp_path: Path) -> None:
    """The task itself ended well."""
    history = AgentRoot(tmp_path).run_history
    history.parent.mkdir()
    run = {"id": "r", "jobId": "probe", "exitCode": 0, "denials": ["PUBLISH news"]}
    history.write_text(json.dumps(run))
    found = seen(check_last_run, setup_of(tmp_path, job_id="probe"))
    assert [state for state, _ in found] == ["ok", "problem"]


def test_each_exit_code_of_a_failure_has_a_fix() -> None:
    """A stop from outside is not a failure of the set-up."""
    stops = {ExitCode.OK, ExitCode.SIGINT, ExitCode.SIGTERM, ExitCode.SIGBREAK}
    assert set(ExitCode) - stops <= FIXES.keys()


def test_a_garbled_document_is_looked_at_all_the_same(tmp_path: Path) -> None:
    """Each check says something, or nothing, about whatever it holds."""
    (tmp_path / "Jobs").mkdir()
    built = job_document(enabled=True, parameters=[], events=[], osFilter={})
    for _, variant in garbled(job_document(osFilter={"linux": True}, eventTopic="KeeperLogger")):
        (tmp_path / "Jobs" / "probe.json").write_text(json.dumps(variant))
        setup = setup_of(tmp_path, job_id="probe", built=built)
        for check in (check_job, check_drift, check_topics):
            assert all(text for _, text in seen(check, setup))
