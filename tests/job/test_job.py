"""Tests of the job in code."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from job.task_code import declared

from epm_task import Topic, task
from epm_task.errors import DefinitionError
from epm_task.job import Job

if TYPE_CHECKING:
    from pathlib import Path


@task(
    every_minutes=60,
    events=["Startup"],
    priority=3,
    publishes=[Topic("A")],
    subscribes=[Topic("S")],
)
def scan() -> None:
    """Scan."""


@task(cron="* * * * *", publishes=[Topic("B"), Topic("A")], event_topic=Topic("E"))
def report_all() -> None:
    """Report."""


def test_what_is_not_given_comes_from_the_first_task() -> None:
    """Topics come from all tasks."""
    job = Job(tasks=[scan, report_all])
    assert (job.id, job.declaration.job_name) == ("scan", "Scan")
    assert (job.declaration.every_minutes, job.declaration.events) == (60, ("Startup",))
    assert job.publications == ["KeeperLogger", "A", "B", "E"]
    assert job.subscriptions == ["S"]


def test_what_is_given_counts() -> None:
    """A schedule replaces one of another kind."""
    job = Job(
        tasks=[scan, report_all],
        id="nightly",
        name="Night",
        description="Both.",
        cron="0 4 * * *",
        events=[],
        priority=9,
        os_filter=["linux"],
        event_topic=Topic("Jobs/nightly/done"),
        continue_on_failure=True,
    )
    document = job.document()
    assert (document["id"], document["name"], document["description"]) == (
        "nightly",
        "Night",
        "Both.",
    )
    assert document["schedule"] == {"cronExpression": "0 4 * * *"}
    assert "events" not in document
    assert (document["priority"], document["eventTopic"]) == (9, "Jobs/nightly/done")
    assert "Jobs/nightly/done" in document["mqttTopics"]["allowedPublications"]
    assert document["osFilter"] == {"windows": False, "linux": True, "macOS": False}
    assert [step["continueOnFailure"] for step in document["tasks"]] == [True, True]
    assert [step["id"] for step in document["tasks"]] == ["scan", "report-all"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"tasks": []}, "at least one task"),
        ({"tasks": [scan, scan]}, "the task scan stands twice"),
        ({"tasks": [scan], "id": "a_b"}, "holds an underscore"),
        ({"tasks": [scan], "priority": 11}, "priority must be 1 to 10"),
        ({"tasks": [scan], "cron": "* * * * *", "every_minutes": 5}, "only one of"),
        ({"tasks": [scan], "os_filter": ["amiga"]}, "os_filter must hold some of windows"),
    ],
)
def test_facts_that_cannot_work_are_refused(words: dict[str, object], why: str) -> None:
    """When the module is imported."""
    with pytest.raises(DefinitionError, match=why):
        Job(**words)  # type: ignore[arg-type]


def test_a_file_declares_jobs_and_tasks(tmp_path: Path) -> None:
    """Tasks that no job names make jobs of their own, by job id."""
    code = """
@task(job_id="both")
def a(): ...
@task(job_id="both")
def b(): ...
@task
def c(): ...
@task
def d(): ...
nightly = Job(id="nightly", tasks=[c])
"""
    jobs = declared(tmp_path, code).all_jobs()
    assert [(job.id, [t.name for t in job.tasks]) for job in jobs] == [
        ("nightly", ["c"]),
        ("both", ["a", "b"]),
        ("d", ["d"]),
    ]


def test_nobody_pays_for_this_package_unasked() -> None:
    """`import epm_task` loads nothing of it, and a `Job` in code neither pydantic nor cronsim."""
    code = (
        "import sys, epm_task\n"
        "assert not [m for m in sys.modules if m.startswith('epm_task.job')]\n"
        "from epm_task.job import Job\n"
        "assert not {'pydantic', 'cronsim', 'epm_task.job.build'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
