"""Tests of the job validator."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from simulator.api.api_agent import job_document

from epm_task.job.document import JobDocument
from epm_task.job.linter import choose, lint
from epm_task.job.subject import Subject
from epm_task.simulator.jobs.validator import Validation, pitfalls, validate

if TYPE_CHECKING:
    from pathlib import Path


def check(tmp_path: Path, doc: Any, *, platform: str = "linux") -> Validation:
    """Validate against a layout that holds the binary `probe`, and an empty PATH."""
    for name in ("probe", "probe.exe"):
        (tmp_path / "probe").mkdir(exist_ok=True)
        (tmp_path / "probe" / name).touch(mode=0o755)
    return validate(doc, layout_bin=tmp_path, platform=platform, search_path="")


def with_task(**fields: Any) -> dict[str, Any]:
    """Return a job whose one task has other fields."""
    return job_document(tasks=[{"id": "one", "command": "probe", **fields}])


def test_a_full_document_is_valid(tmp_path: Path) -> None:
    """Every documented field, and an unknown one."""
    doc = job_document(
        description="x",
        enabled=True,
        priority=10,
        events=[{"eventType": "Custom"}],
        parameters=[{"name": "Root", "type": "string", "default": "/", "required": False}],
        condition={"any": "thing"},
        alternateJobId="other",
        osFilter={"windows": False, "linux": True, "macOS": True},
        eventTopic="Jobs/probe/events",
        mqttTopics={
            "allowedPublications": ["KeeperLogger", "Jobs/probe/events"],
            "allowedSubscriptions": [],
        },
        vendorField=1,
    )
    doc["tasks"][0] |= {
        "name": "One",
        "ExecutionType": "Service",
        "timeoutSeconds": 60,
        "continueOnFailure": False,
        "scriptType": "Auto",
        "MergeStdoutJsonIntoContext": True,
        "SkipWhenPluginSettingFalse": "KeyScanner:enabled",
    }
    found = check(tmp_path, doc)
    assert (found.errors, found.warnings, found.valid) == ([], [], True)


@pytest.mark.parametrize("doc", [None, [], "x", 1])
def test_only_an_object_is_a_job(tmp_path: Path, doc: Any) -> None:
    """The validator takes anything and raises nothing."""
    assert check(tmp_path, doc).errors == ["the job must be a JSON object"]


def test_an_empty_document_names_all_that_is_missing(tmp_path: Path) -> None:
    """All errors come at once."""
    assert check(tmp_path, {}).errors == [
        "id is missing",
        "name is missing",
        "tasks is missing",
    ]


@pytest.mark.parametrize(
    ("doc", "why"),
    [
        (job_document("bad_id"), "holds an underscore"),
        (job_document("../x"), "letters, digits"),
        (job_document(id=1), "id must be text"),
        (job_document(name=1), "name must be text"),
        (job_document(enabled="yes"), "enabled must be true or false"),
        (job_document(description=1), "description must be text"),
        (job_document(priority=0), "priority must be at least 1"),
        (job_document(priority=11), "priority must be at most 10"),
        (job_document(priority=True), "priority must be a whole number"),
        (job_document(priority="5"), "priority must be a whole number"),
        (job_document(schedule={}), "exactly one"),
        (job_document(condition="x"), "condition must be an object"),
        (job_document(parameters={}), "parameters must be an array"),
        (job_document(parameters=["x"]), "parameters[0] must be an object"),
        (job_document(parameters=[{}]), "parameters[0].name is missing"),
        (job_document(parameters=[{"name": "a"}, {"name": "a"}]), "'a' is used twice"),
        (job_document(parameters=[{"name": "a", "required": 1}]), "required must be true"),
        (job_document(mqttTopics=[]), "mqttTopics must be an object"),
        (job_document(mqttTopics={"allowedPublications": "x"}), "must be an array"),
        (job_document(mqttTopics={"allowedSubscriptions": [1]}), "Subscriptions[0] must be text"),
        (job_document(osFilter=[]), "osFilter must be an object"),
        (job_document(osFilter={"linux": "yes"}), "osFilter.linux must be true or false"),
        (job_document(tasks=[]), "tasks must not be empty"),
        (job_document(tasks="x"), "tasks must be an array"),
        (job_document(tasks=["x"]), "tasks[0] must be an object"),
        (job_document(tasks=[{}]), "tasks[0].id is missing"),
        (job_document(tasks=[{"id": "one"}]), "tasks[0].command is missing"),
        (job_document(tasks=[{"id": "a", "command": "probe"}] * 2), "'a' is used twice"),
        (with_task(command="a/b"), "a name without a path"),
        (with_task(command=".."), "a name without a path"),
        (with_task(executablePath="bin/probe"), "executablePath must be absolute"),
        (with_task(executablePath=1), "executablePath must be text"),
        (with_task(arguments=["a"]), "arguments must be text"),
        (with_task(timeoutSeconds=0), "tasks[0].timeoutSeconds must be at least 1"),
        (with_task(timeoutSeconds=1.5), "timeoutSeconds must be a whole number"),
        (with_task(ExecutionType="Root"), "ExecutionType is wrong"),
        (with_task(executionType="Root"), "executionType is wrong"),
        (with_task(continueOnFailure="no"), "continueOnFailure must be true or false"),
    ],
)
def test_a_wrong_field_is_an_error(tmp_path: Path, doc: Any, why: str) -> None:
    """The sentence names the field; `epm-task validate` finds it too."""
    errors = check(tmp_path, doc).errors
    assert any(why in error for error in errors), errors
    findings = lint(Subject(JobDocument(doc)), choose(), name="x")
    found = {finding.code for finding in findings} - {"EPM016"}  # the tests' own job lacks it
    assert found, "no rule finds it before"


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_binary_is_found_in_the_layout(tmp_path: Path, platform: str) -> None:
    """With the extension that the system needs."""
    assert check(tmp_path, job_document(), platform=platform).valid


def test_the_binary_must_exist(tmp_path: Path) -> None:
    """In the layout or on PATH; a given path is the only place looked at."""
    absent = check(tmp_path, with_task(command="absent"))
    assert absent.errors[0].startswith("binary not found: ")
    assert "not on PATH" in absent.errors[0]
    path = str(tmp_path / "nowhere")
    assert check(tmp_path, with_task(executablePath=path)).errors == [
        f"binary not found: {path} (executablePath of task 'one')"
    ]
    assert check(tmp_path, with_task(executablePath=sys.executable)).valid


def test_a_job_for_other_systems_needs_no_binary_here(tmp_path: Path) -> None:
    """The filter's key for this system decides; without the key the job is for it."""
    job = with_task(command="absent")
    for platform, key in (("linux", "linux"), ("darwin", "macOS"), ("win32", "windows")):
        assert check(tmp_path, job | {"osFilter": {key: False}}, platform=platform).valid
        assert not check(tmp_path, job | {"osFilter": {key: True}}, platform=platform).valid
        assert not check(tmp_path, job | {"osFilter": {}}, platform=platform).valid


def found(doc: dict[str, Any], *, windows: bool = False) -> list[str]:
    """Return the pitfalls of a document."""
    return pitfalls(doc, system="windows" if windows else "linux")


def with_fields(**fields: Any) -> dict[str, Any]:
    """Return a job whose one task has more fields."""
    doc = job_document()
    doc["tasks"][0] |= fields
    return doc


def test_a_good_job_has_none() -> None:
    """The tests' own job is one."""
    assert found(job_document()) == []


@pytest.mark.parametrize(
    ("doc", "why"),
    [
        (job_document(mqttTopics=None), "no KEEPER_JOB_ID"),
        (job_document(mqttTopics={"allowedPublications": []}), "no KEEPER_JOB_ID"),
        (job_document(mqttTopics={"allowedPublications": ["x"]}), "lacks KeeperLogger"),
        (job_document(mqttTopics={"allowedPublications": "x"}), "lacks KeeperLogger"),
        (job_document(eventTopic="my/topic"), "eventTopic my/topic is not in"),
        (job_document(events=["Startup"]), "may overlap"),
        (with_fields(mqttTopics={}), "belongs to the job"),
        (with_fields(arguments=""), "do not hold {KeeperApiBaseUrl}"),
        (
            with_fields(arguments="--url=https://127.0.0.1:6889"),
            "port 6889 is written in arguments",
        ),
        (with_fields(arguments="${KeeperApiBaseUrl}"), "without $"),
        (with_fields(command="probe.exe"), "without extension"),
        (with_fields(executablePath="/opt/probe.EXE"), "does not fit linux"),
        (
            with_fields(MergeStdoutJsonIntoContext=True, ExecutionType="User"),
            "ExecutionType Service only",
        ),
    ],
)
def test_a_pitfall_is_one_sentence(doc: dict[str, Any], why: str) -> None:
    """It says what will happen."""
    assert any(why in sentence for sentence in found(doc))


@pytest.mark.parametrize(
    "doc",
    [
        with_fields(executablePath=r"C:\probe.exe"),
        with_fields(arguments="{KeeperApiBaseUrl} --count=16889"),
        with_fields(MergeStdoutJsonIntoContext=True),
        job_document(events=["Startup"], schedule=None),
    ],
)
def test_what_only_looks_like_a_pitfall_is_none(doc: dict[str, Any]) -> None:
    """On Windows, and in general."""
    assert found(doc, windows=True) == []
