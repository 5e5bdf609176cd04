"""Tests of the linter, with one failing and one passing file for each rule."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job import sarif_rules

from epm_task import __homepage__
from epm_task.contract.json_text import BadJson
from epm_task.job.document import JobDocument
from epm_task.job.linter import (
    UnknownCode,
    choose,
    lint,
    markdown,
    overview,
    page,
    sarif,
    unreadable,
)
from epm_task.job.rule import Finding
from epm_task.job.rules import RULES
from epm_task.job.subject import Subject
from epm_task.job.task_file import read_task_file

if TYPE_CHECKING:
    from collections.abc import Callable

LINTS = Path(__file__).parent / "lints"
CODES = sorted(RULES)


def found_in(kind: str, code: str) -> list[str]:
    """Return the codes that the linter finds in the file for *code*."""
    (file,) = (LINTS / kind).glob(f"{code}*.json")
    own = LINTS / kind / f"{code.lower()}.py"
    (job,) = read_task_file(own if own.exists() else LINTS / kind / "publisher.py").all_jobs()
    try:
        document = JobDocument.parse(file.read_bytes())
    except BadJson as error:
        return [unreadable(error, name=file.name).code]
    known = job if document.raw["id"] == job.id else None
    subject = Subject(document, file=file, job=known, neighbours=frozenset({file.stem}))
    findings = lint(subject, choose(), name=file.name)
    for finding in findings:
        assert str(finding).startswith(f"{file.name}:{finding.line}:{finding.column}: {code} ")
        assert finding.fix
    return [finding.code for finding in findings]


@pytest.mark.parametrize("code", CODES)
def test_the_bad_file_is_found(code: str, time_zone: Callable[[str], None]) -> None:
    """By this rule, once, and by no other."""
    time_zone("CET-1CEST,M3.5.0,M10.5.0/3" if code == "EPM028" else "UTC")
    assert found_in("bad", code) == [code]


@pytest.mark.parametrize("code", CODES)
def test_the_good_file_passes(code: str) -> None:
    """Though it is close to the bad one."""
    assert found_in("good", code) == []


def test_the_codes_are_those_that_are_documented() -> None:
    """EPM000 for what cannot be read, then from EPM001; a number is not used again."""
    assert [f"EPM{number:03}" for number in (*range(29), *range(30, 36))] == CODES


@pytest.mark.parametrize("code", CODES)
def test_a_rule_has_a_page(code: str) -> None:
    """It says why, and shows a wrong and a right example."""
    rule = RULES[code]
    assert re.fullmatch(r"[^.]+", rule.title), "a title is not a sentence"
    assert rule.page.partition("\n")[0].endswith(".")
    assert "\n- wrong: " in rule.page
    assert "\n- right: " in rule.page


def test_rules_are_chosen_by_code() -> None:
    """In any case, alone or with commas."""
    assert [rule.code for rule in choose(["epm003,EPM001", " EPM002 "])] == [
        *("EPM001", "EPM002", "EPM003")
    ]
    assert len(choose((), ["EPM003"])) == len(RULES) - 1
    with pytest.raises(UnknownCode, match="no rule has the code EPM999"):
        choose(["EPM999"])


def test_a_finding_without_a_text_points_at_the_code() -> None:
    """At the line that the caller names."""
    (finding,) = lint(Subject(JobDocument({})), choose(["EPM004"]), name="tasks.py", line=7)
    assert (finding.file, finding.line, finding.column, finding.pointer) == ("tasks.py", 7, 1, "")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "command", "arguments", "eventType", "required"]), inner
        )
    ),
    max_leaves=6,
)
FIELDS = [
    *("id", "name", "priority", "schedule", "events", "parameters", "tasks", "condition"),
    *("alternateJobId", "osFilter", "mqttTopics", "eventTopic", "enabled"),
]


@settings(max_examples=150)
@given(
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING),
    st.dictionaries(
        st.sampled_from(["intervalMinutes", "cronExpression", "runAt", "calendar"]), ANYTHING
    ),
    st.text(alphabet="{}\"'\\ $-=aRoot", max_size=20),
)
def test_no_document_makes_a_rule_fail(
    raw: dict[str, object], schedule: dict[str, object], arguments: str
) -> None:
    """Whatever is where, it gives findings and no exception."""
    task = {"id": "a", "command": "b", "arguments": arguments, "timeoutSeconds": raw.get("id")}
    for document in (raw, {**raw, "schedule": schedule, "tasks": [task, raw]}):
        subject = Subject(JobDocument(document), file=Path("a.json"), neighbours=frozenset())
        for finding in lint(subject, choose(), name="a.json"):
            assert finding.line == 1


DOCS = Path(__file__).parents[2] / "docs"


def test_the_document_is_in_step() -> None:
    """docs/lints.md is what `epm-task explain --markdown` prints."""
    assert (DOCS / "lints.md").read_text("utf-8") == markdown()


def test_the_document_holds_every_page() -> None:
    """With a table that links to them."""
    text = markdown()
    for rule in RULES.values():
        assert f"| [{rule.code}](#{rule.code.lower()}) | {rule.severity} | {rule.title} |" in text
        assert rule.page in text


def test_a_page_for_a_terminal() -> None:
    """Code, title, severity, and the page."""
    rule = RULES["EPM003"]
    assert page(rule) == f"EPM003: {rule.title} (error)\n\n{rule.page}\n"


def test_the_overview_has_a_line_for_each_rule() -> None:
    """In the order of the codes."""
    assert [line.split()[0] for line in overview().splitlines()] == list(RULES)


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
    written = (Path(__file__).parents[2] / "docs" / "lints.md").read_text(encoding="utf-8")
    for rule in rules:
        address, _, anchor = rule["helpUri"].partition("#")
        assert address == f"{__homepage__}/blob/main/docs/lints.md"
        assert f"\n## {anchor.upper()}\n" in written
    assert [rule["id"] for rule in rules] == list(RULES)
    assert all("wrong: " in rule["help"]["markdown"] for rule in rules)
