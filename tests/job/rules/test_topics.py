"""Tests of the rules of topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from job.rules.one_document import hits
from job.task_code import only_job

from epm_task.job.document import JobDocument
from epm_task.job.rules import RULES
from epm_task.job.subject import Subject

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("topics", [None, {}, {"allowedPublications": []}, "x"])
def test_no_entry_means_no_job_id(topics: Any) -> None:
    """One rule says it, not two."""
    assert len(hits("EPM004", mqttTopics=topics)) == 1
    assert hits("EPM003", mqttTopics=topics) == []


@pytest.mark.parametrize(
    "topics", [{"allowedSubscriptions": ["a"]}, {"allowedPublications": ["keeperlogger"]}]
)
def test_the_log_is_a_topic(topics: dict[str, list[str]]) -> None:
    """Its name is exact, and subscriptions do not help."""
    assert len(hits("EPM003", mqttTopics=topics)) == 1
    assert hits("EPM004", mqttTopics=topics) == []


def test_wildcards_in_both_lists() -> None:
    """Each with its place."""
    topics = {"allowedPublications": ["a/+/b", "a"], "allowedSubscriptions": [1, "#"]}
    assert [hit.pointer for hit in hits("EPM019", mqttTopics=topics)] == [
        "/mqttTopics/allowedPublications/0",
        "/mqttTopics/allowedSubscriptions/1",
    ]


def test_every_topic_of_the_code_is_looked_for(tmp_path: Path) -> None:
    """Each that is missing is one finding; without code there is none."""
    code = '@task(publishes=[Topic("A"), Topic("B")], event_topic=Topic("C"))\ndef scan(): ...'
    job = only_job(tmp_path, code)
    document = JobDocument({"mqttTopics": {"allowedPublications": ["KeeperLogger", "B"]}})
    found = list(RULES["EPM026"].check(Subject(document, job=job)))
    assert [hit.what.split()[4].strip(",") for hit in found] == ["A", "C"]
    assert list(RULES["EPM026"].check(Subject(document))) == []
