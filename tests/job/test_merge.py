"""Tests of merging what the code states into a document of people."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from epm_task.contract.json_text import format_json
from epm_task.job.document import JobDocument
from epm_task.job.merge import drift, merge

BUILT: dict[str, Any] = {
    "id": "scan",
    "name": "Scan",
    "enabled": True,
    "priority": 5,
    "schedule": {"intervalMinutes": 60},
    "mqttTopics": {
        "allowedPublications": ["KeeperLogger", "Jobs/scan/findings"],
        "allowedSubscriptions": [],
    },
    "parameters": [{"name": "Root", "type": "string", "required": True}],
    "tasks": [
        {
            "id": "scan",
            "ExecutionType": "Service",
            "command": "Scan",
            "arguments": '--root="{Root}"',
            "MergeStdoutJsonIntoContext": True,
        }
    ],
}


def merged(**fields: Any) -> dict[str, Any]:
    """Merge the code's document into itself with other fields; None leaves a field out."""
    present = {k: v for k, v in copy.deepcopy({**BUILT, **fields}).items() if v is not None}
    before = format_json(present)
    result = merge(present, BUILT)
    assert format_json(present) == before, "the document on disk was changed"
    assert format_json(merge(result, BUILT)) == format_json(result), "not at rest"
    return result


def test_equal_documents_stay_as_they_are() -> None:
    """Order included."""
    assert format_json(merged()) == format_json(BUILT)


@pytest.mark.parametrize(
    "fields",
    [
        {"condition": {"any": ["thing"]}},
        {"alternateJobId": "other", "vendorField": [1.5, None]},
        {"enabled": False},
        {"description": "By hand."},
        {"osFilter": {"windows": False}},
        {"events": ["Startup", {"eventType": "Custom"}]},
        {"schedule": {"timezone": "UTC", "intervalMinutes": 60, "more": 1}},
        {"eventTopic": "Jobs/scan/done"},
        {
            "parameters": [
                {"name": "Root", "type": "string", "required": True, "defaultValue": "/s"}
            ]
        },
        {"tasks": [{**BUILT["tasks"][0], "executablePath": "/opt/scan", "timeoutSeconds": 5}]},
        {"tasks": [{**BUILT["tasks"][0], "SkipWhenPluginSettingFalse": "A:b"}]},
    ],
)
def test_what_the_code_does_not_state_stays(fields: dict[str, Any]) -> None:
    """With its values and its order."""
    expected = {**BUILT, **fields}
    assert format_json(merged(**fields)) == format_json(expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Other"},
        {"priority": 9},
        {"priority": None},
        {"schedule": {"cronExpression": "* * * * *"}},
        {"schedule": "daily"},
        {
            "mqttTopics": {
                "allowedPublications": ["KeeperLogger", "Old"],
                "allowedSubscriptions": [],
            }
        },
        {"mqttTopics": "x"},
        {"parameters": [*BUILT["parameters"], {"name": "Old"}]},
        {"parameters": [{**BUILT["parameters"][0], "type": "integer"}]},
        {"tasks": [{**BUILT["tasks"][0], "arguments": "--old"}]},
        {"tasks": None},
    ],
)
def test_what_the_code_states_wins(fields: dict[str, Any]) -> None:
    """The result says what the code says."""
    assert merged(**fields) == {**BUILT}


def test_a_new_name_comes_after_its_neighbour() -> None:
    """And not at the end, below hand-made fields."""
    result = merge({"vendor": 1, "id": "scan", "name": "Scan", "tasks": [], "own": 2}, BUILT)
    assert list(result) == [
        *("vendor", "id", "name", "enabled", "priority", "schedule", "mqttTopics"),
        *("parameters", "tasks", "own"),
    ]


def test_another_spelling_is_kept() -> None:
    """`executionType` and `defaultValue` are taken too."""
    built = copy.deepcopy(BUILT)
    root = {"name": "Root", "type": "string"}
    built["parameters"] = [{**root, "default": "/", "required": False}]
    present = copy.deepcopy(built)
    present["parameters"] = [{**root, "defaultValue": "/old", "required": False}]
    step = present["tasks"][0]
    step["executionType"] = step.pop("ExecutionType")
    result = merge(present, built)
    assert result["parameters"] == [{**root, "defaultValue": "/", "required": False}]
    assert "ExecutionType" not in result["tasks"][0]


def test_both_spellings_say_what_the_code_says() -> None:
    """Whichever the agent reads."""
    root = {"name": "Root", "type": "string"}
    built = {**BUILT, "parameters": [{**root, "default": "/", "required": False}]}
    old = {**root, "defaultValue": "/old", "default": "/older", "required": False}
    (entry,) = merge({**built, "parameters": [old]}, built)["parameters"]
    assert entry == {**root, "defaultValue": "/", "default": "/", "required": False}


def test_a_result_that_is_gone_is_no_longer_merged() -> None:
    """The annotation of the handler decides."""
    built = copy.deepcopy(BUILT)
    del built["tasks"][0]["MergeStdoutJsonIntoContext"]
    assert merge(BUILT, built) == built


def test_tasks_of_other_programs_stay_with_what_they_need() -> None:
    """At their place, with topics and parameters that the code does not know."""
    notify = {"id": "notify", "command": "notify", "arguments": "{Who}"}
    fields = {
        "tasks": [notify, BUILT["tasks"][0]],
        "parameters": [{"name": "Who"}, *BUILT["parameters"]],
        "mqttTopics": {
            "allowedPublications": ["News", *BUILT["mqttTopics"]["allowedPublications"]],
            "allowedSubscriptions": [],
        },
    }
    assert format_json(merged(**fields)) == format_json({**BUILT, **fields})


def test_events_of_the_code_keep_their_spelling() -> None:
    """A plain name stays one; what the code no longer states goes."""
    built = {**BUILT, "events": [{"eventType": "Startup"}, {"eventType": "New"}]}
    present = {**BUILT, "events": ["Startup", {"eventType": "Old"}]}
    assert merge(present, built)["events"] == ["Startup", {"eventType": "New"}]


@pytest.mark.parametrize("junk", [None, 5, "x", [1, "y", {"id": [], "name": {}}], {"id": []}])
def test_parts_of_a_wrong_type_are_replaced(junk: Any) -> None:
    """Whatever was there."""
    names = ("tasks", "parameters", "mqttTopics", "schedule", "events", "osFilter")
    built = {**BUILT, "events": [{"eventType": "A"}], "osFilter": {"linux": True}}
    result = merge(dict.fromkeys(names, junk), built)
    assert result["events"] == built["events"]
    assert [task for task in result["tasks"] if task.get("id") == "scan"] == built["tasks"]


TASK_DRIFT = {"id": "scan", "command": "Scan", "arguments": "--a"}
BUILT_DRIFT = {
    "id": "scan",
    "name": "Scan",
    "enabled": True,
    "priority": 5,
    "mqttTopics": {"allowedPublications": ["KeeperLogger"], "allowedSubscriptions": []},
    "parameters": [],
    "tasks": [TASK_DRIFT],
}


def test_a_missing_file_is_all_new() -> None:
    """Every line is an addition."""
    found = drift(None, BUILT_DRIFT, "Jobs/scan.json")
    assert found.document == BUILT_DRIFT
    assert json.loads(found.text) == BUILT_DRIFT
    head, second, *rest = found.diff.splitlines()
    assert (head, second) == ("--- Jobs/scan.json (on disk)", "+++ Jobs/scan.json (from the code)")
    assert all(line.startswith(("+", "@@")) for line in rest)


def test_the_layout_of_a_file_is_no_drift() -> None:
    """Neither on one line nor with tabs."""
    for text in (json.dumps(BUILT_DRIFT), json.dumps(BUILT_DRIFT, indent="\t")):
        assert drift(JobDocument.parse(text.encode()), BUILT_DRIFT, "x").diff == ""


def test_drift_shows_the_changed_lines_only() -> None:
    """In the indent of the file, hand-made fields kept."""
    present = {
        **BUILT_DRIFT,
        "own": 1.10,
        "tasks": [{**TASK_DRIFT, "arguments": "--b"}],
    }
    text = json.dumps(present, indent=4) + "\n"
    found = drift(JobDocument.parse(text.encode()), BUILT_DRIFT, "x")
    changed = [line for line in found.diff.splitlines()[2:] if line.startswith(("+", "-"))]
    assert changed == ['-            "arguments": "--b"', '+            "arguments": "--a"']
    assert found.text == text.replace("--b", "--a")
    assert drift(JobDocument.parse(found.text.encode()), BUILT_DRIFT, "x").diff == ""
