"""Tests of the rules of timing."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from job.rules.one_document import hits
from job.task_code import only_job

from epm_task.contract.schedule import schedule_errors
from epm_task.job.document import JobDocument
from epm_task.job.model import job_schema
from epm_task.job.rules import RULES
from epm_task.job.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, 0),
        ({"schedule": None}, 1),
        ({"schedule": {}}, 1),
        ({"schedule": None, "events": ["A"]}, 0),
        ({"events": ["A"]}, 0),
        ({"schedule": {"intervalMinutes": 1, "runAt": "2026-01-31"}}, 1),
    ],
)
def test_what_starts_a_job(fields: dict[str, Any], found: int) -> None:
    """One schedule, events, or both."""
    assert len(hits("EPM010", **fields)) == found


@pytest.mark.parametrize(
    "schedule",
    [
        {"intervalMinutes": 0},
        {"intervalMinutes": True},
        {"cronExpression": "* * * *"},
        {"cronExpression": "61 * * * *"},
        {"runAt": "tomorrow"},
        {"calendar": {}},
    ],
)
def test_unusable_schedules(schedule: dict[str, Any]) -> None:
    """The place is the value."""
    (hit,) = hits("EPM011", schedule=schedule)
    assert hit.pointer == f"/schedule/{next(iter(schedule))}"


@pytest.mark.parametrize(
    ("minutes", "usable"),
    [
        *[(text, True) for text in ("0.5", "0.1", "5e-1", "0.017", "1", "1.50", "527040", "5e5")],
        *[(text, False) for text in ("1e-9", "0", "0.0", "-0.5", "-1", "0.016", '"0.5"', "true")],
        *[(text, False) for text in ("[1]", "{}", "false", '"1"', "[]")],
    ],
)
def test_an_interval_may_be_a_fraction(minutes: str, *, usable: bool) -> None:
    """Lint, validator and JSON Schema say the same of the text of a file."""
    text = f'{{"id": "a", "schedule": {{"intervalMinutes": {minutes}}}}}'
    document = JobDocument.parse(text.encode())
    assert bool(list(RULES["EPM011"].check(Subject(document)))) != usable
    for raw in (document.raw, json.loads(text)):
        assert bool(schedule_errors(raw)) != usable
    number, _ = job_schema()["$defs"]["Schedule"]["properties"]["intervalMinutes"]["anyOf"]
    assert number["type"] == "number"
    if type(value := json.loads(minutes)) in {int, float}:
        assert (number["minimum"] <= value) == usable


@pytest.mark.parametrize(
    ("task", "found"),
    [
        ({}, 0),
        ({"timeoutSeconds": None}, 1),
        ({"arguments": "--deadline=60"}, 0),
        ({"arguments": "--deadline 60.5"}, 1),
        ({"arguments": '--deadline="90"'}, 1),
        ({"arguments": "--my-deadline=90"}, 0),
    ],
)
def test_time_outs(task: dict[str, Any], found: int) -> None:
    """Not below what the arguments say."""
    assert len(hits("EPM016", task=task)) == found


def test_a_time_out_below_the_deadline_of_the_code(tmp_path: Path) -> None:
    """The code is known when it is named together with the document."""
    job = only_job(tmp_path, "@task(timeout_seconds=600)\ndef scan(): ...")
    for seconds, found in ((600, 0), (570, 0), (569, 1)):
        document = JobDocument({"tasks": [{"id": "scan", "timeoutSeconds": seconds}]})
        hits_of_code = list(RULES["EPM016"].check(Subject(document, job=job)))
        assert len(hits_of_code) == found
    assert "deadline of 570 s" in hits_of_code[0].what


@pytest.mark.parametrize(
    ("zone", "schedule", "what"),
    [
        ("CET-1CEST,M3.5.0,M10.5.0/3", {"cronExpression": "30 2 * * *"}, "left out|comes twice"),
        ("EST5EDT,M3.2.0,M11.1.0", {"cronExpression": "0 1-2 * * *"}, "01:00 comes twice"),
        ("EST5EDT,M3.2.0,M11.1.0", {"runAt": "2031-03-09T02:05"}, "02:05 is left out on 2031-03-0"),
        ("EST5EDT,M3.2.0,M11.1.0", {"runAt": "2031-03-09T02:05Z"}, ""),
        ("CET-1CEST,M3.5.0,M10.5.0/3", {"cronExpression": "30 4 * * *"}, ""),
        ("UTC", {"cronExpression": "30 2 * * *"}, ""),
        ("UTC", {"runAt": "9999-12-31T02:05"}, ""),
        ("UTC", {"runAt": "0001-01-01T02:05"}, ""),
    ],
)
def test_runs_when_clocks_change(
    time_zone: Callable[[str], None], zone: str, schedule: dict[str, str], what: str
) -> None:
    """A note, with the day, for the time zone of the machine that looks."""
    time_zone(zone)
    found = hits("EPM028", schedule=schedule)
    assert len(found) == bool(what)
    for hit in found:
        assert re.search(what, hit.what)
        assert hit.pointer == f"/schedule/{next(iter(schedule))}"


def test_time_outs_of_all_tasks_count() -> None:
    """Tasks run one after another."""
    tasks = [{"timeoutSeconds": 200}, {"timeoutSeconds": 101}, {"timeoutSeconds": "x"}]
    (hit,) = hits("EPM017", tasks=tasks)
    assert "300 s is shorter than the time-out of 301 s" in hit.what
    assert hits("EPM017", tasks=tasks[:1]) == []
