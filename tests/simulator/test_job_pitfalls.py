"""Tests of the pitfalls that the vendor names."""

from __future__ import annotations

from typing import Any

import pytest
from simulator.api.api_agent import job_document

from epm_task.simulator.job_pitfalls import pitfalls


def found(doc: dict[str, Any], *, windows: bool = False) -> list[str]:
    """Return the pitfalls of a document."""
    return pitfalls(doc, system="windows" if windows else "linux")


def with_task(**fields: Any) -> dict[str, Any]:
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
        (with_task(mqttTopics={}), "belongs to the job"),
        (with_task(arguments=""), "do not hold {KeeperApiBaseUrl}"),
        (with_task(arguments="--url=https://127.0.0.1:6889"), "port 6889 stands in arguments"),
        (with_task(arguments="${KeeperApiBaseUrl}"), "without $"),
        (with_task(command="probe.exe"), "without extension"),
        (with_task(executablePath="/opt/probe.EXE"), "does not fit linux"),
        (
            with_task(MergeStdoutJsonIntoContext=True, ExecutionType="User"),
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
        with_task(executablePath=r"C:\probe.exe"),
        with_task(arguments="{KeeperApiBaseUrl} --count=16889"),
        with_task(MergeStdoutJsonIntoContext=True),
        job_document(events=["Startup"], schedule=None),
    ],
)
def test_what_only_looks_like_a_pitfall_is_none(doc: dict[str, Any]) -> None:
    """On Windows, and in general."""
    assert found(doc, windows=True) == []
