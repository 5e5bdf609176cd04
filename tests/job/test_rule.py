"""Tests of findings."""

from __future__ import annotations

import json

from epm_task.job.rule import Finding


def test_a_finding_is_one_line() -> None:
    """Place, code, what, fix, and the pointer when there is one."""
    finding = Finding("a.json", 3, 7, "EPM003", "error", "/id", "it is wrong", "correct it")
    assert str(finding) == "a.json:3:7: EPM003 it is wrong; correct it [/id]"
    whole = Finding("a.json", 1, 1, "EPM004", "error", "", "it lacks topics", "add one")
    assert str(whole) == "a.json:1:1: EPM004 it lacks topics; add one"
    assert sorted([finding, whole]) == [whole, finding]
    assert json.loads(json.dumps(finding._asdict()))["pointer"] == "/id"
