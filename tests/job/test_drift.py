"""Tests of the difference between a document on disk and the code."""

from __future__ import annotations

import json

from epm_task.job.document import JobDocument
from epm_task.job.drift import drift

BUILT = {
    "id": "scan",
    "name": "Scan",
    "enabled": True,
    "priority": 5,
    "mqttTopics": {"allowedPublications": ["KeeperLogger"], "allowedSubscriptions": []},
    "parameters": [],
    "tasks": [{"id": "scan", "command": "Scan", "arguments": "--a"}],
}


def test_a_missing_file_is_all_new() -> None:
    """Every line is an addition."""
    found = drift(None, BUILT, "Jobs/scan.json")
    assert found.document == BUILT
    assert json.loads(found.text) == BUILT
    head, second, *rest = found.diff.splitlines()
    assert (head, second) == ("--- Jobs/scan.json (on disk)", "+++ Jobs/scan.json (from the code)")
    assert all(line.startswith(("+", "@@")) for line in rest)


def test_the_layout_of_a_file_is_no_drift() -> None:
    """Neither on one line nor with tabs."""
    for text in (json.dumps(BUILT), json.dumps(BUILT, indent="\t")):
        assert drift(JobDocument.parse(text.encode()), BUILT, "x").diff == ""


def test_drift_shows_the_changed_lines_only() -> None:
    """In the indent of the file, hand-made fields kept."""
    present = {**BUILT, "own": 1.10, "tasks": [{**BUILT["tasks"][0], "arguments": "--b"}]}
    text = json.dumps(present, indent=4) + "\n"
    found = drift(JobDocument.parse(text.encode()), BUILT, "x")
    changed = [line for line in found.diff.splitlines()[2:] if line.startswith(("+", "-"))]
    assert changed == ['-            "arguments": "--b"', '+            "arguments": "--a"']
    assert found.text == text.replace("--b", "--a")
    assert drift(JobDocument.parse(found.text.encode()), BUILT, "x").diff == ""
