"""Tests of the SARIF log."""

from __future__ import annotations

import json

from job import sarif_rules

from epm_task.job.rule import Finding
from epm_task.job.rules import RULES
from epm_task.job.sarif import sarif

FINDING = Finding(
    "Jobs/a b\\é.json", 3, 7, "EPM003", "error", "/mqttTopics", "it lacks something", "add it"
)


def test_a_log_keeps_to_the_schema() -> None:
    """With findings, without, and with a code that no rule has."""
    foreign = Finding("x.json", 1, 1, "LIVE", "warning", "", "the agent says so", "ask it")
    for findings in ([], [FINDING, foreign]):
        log = sarif(findings)
        sarif_rules.check(log)
        assert json.loads(json.dumps(log)) == log


def test_a_result_names_rule_and_place() -> None:
    """The path is a URI, whatever it holds."""
    (result,) = sarif([FINDING])["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("EPM003", "error")
    assert result["message"]["text"] == "it lacks something; add it"
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "Jobs/a%20b/%C3%A9.json"
    assert physical["region"] == {"startLine": 3, "startColumn": 7}


def test_all_rules_stand_in_the_log() -> None:
    """So that a code host can show their pages."""
    rules = sarif([])["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert all("wrong: " in rule["help"]["markdown"] for rule in rules)
