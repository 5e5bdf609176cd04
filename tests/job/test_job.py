"""Tests of the job in code."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from job.task_code import declared, only_job

from epm_task import Topic, task
from epm_task.errors import DefinitionError
from epm_task.job import Job
from epm_task.job.document import JobDocument

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
        ({"tasks": [scan, scan]}, "the task scan is there twice"),
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
        "assert not {'pydantic', 'cronsim', 'epm_task.job.step'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


FULL = '''
FINDINGS = Topic("Jobs/key-scan/findings")

@task(
    job_id="key-scan", job_name="Key scan", cron="0 4 * * *", events=["Startup", "Custom"],
    priority=7, timeout_seconds=30.5, publishes=[FINDINGS], subscribes=[Topic("Orders")],
    event_topic=Topic("Jobs/key-scan/done"), os_filter=["linux", "macOS"], command="KeyScan",
)
def scan(ctx: TaskContext, *, root: Path, suffix: str = ".pem") -> dict[str, int]:
    """Count keys.

    More about it.
    """
'''


def test_a_full_declaration(tmp_path: Path) -> None:
    """Every fact of the code is in the document, in the order in which people read it."""
    assert list(only_job(tmp_path, FULL).document().items()) == list(
        {
            "id": "key-scan",
            "name": "Key scan",
            "description": "Count keys.",
            "enabled": True,
            "priority": 7,
            "schedule": {"cronExpression": "0 4 * * *"},
            "events": [{"eventType": "Startup"}, {"eventType": "Custom"}],
            "osFilter": {"windows": False, "linux": True, "macOS": True},
            "mqttTopics": {
                "allowedPublications": [
                    "KeeperLogger",
                    "Jobs/key-scan/findings",
                    "Jobs/key-scan/done",
                ],
                "allowedSubscriptions": ["Orders"],
            },
            "eventTopic": "Jobs/key-scan/done",
            "parameters": [
                {"name": "Root", "type": "string", "required": True},
                {"name": "Suffix", "type": "string", "default": ".pem", "required": False},
            ],
            "tasks": [
                {
                    "id": "scan",
                    "name": "Key scan",
                    "ExecutionType": "Service",
                    "command": "KeyScan",
                    "arguments": "--keeper-api-base={KeeperApiBaseUrl} "
                    '--root="{Root}" --suffix="{Suffix}"',
                    "timeoutSeconds": 31,
                    "continueOnFailure": False,
                    "scriptType": "Auto",
                    "MergeStdoutJsonIntoContext": True,
                }
            ],
        }.items()
    )


def test_the_smallest_declaration(tmp_path: Path) -> None:
    """What the code does not state is left out."""
    document = only_job(tmp_path, "@task\ndef scan(): ...").document()
    assert list(document) == [
        *("id", "name", "enabled", "priority", "mqttTopics", "parameters", "tasks")
    ]
    assert document["mqttTopics"]["allowedPublications"] == ["KeeperLogger"]
    assert "timeoutSeconds" not in document["tasks"][0]
    assert JobDocument(document).misfits == ()


@pytest.mark.parametrize(
    ("declared_schedule", "schedule"),
    [
        ("every_minutes=5", {"intervalMinutes": 5}),
        ('cron="* * * * *"', {"cronExpression": "* * * * *"}),
        ('run_at="2026-01-31T04:00:00Z"', {"runAt": "2026-01-31T04:00:00Z"}),
    ],
)
def test_each_kind_of_schedule(
    tmp_path: Path, declared_schedule: str, schedule: dict[str, Any]
) -> None:
    """In the document's words."""
    job = only_job(tmp_path, f"@task({declared_schedule})\ndef scan(): ...")
    assert job.document()["schedule"] == schedule


@pytest.mark.parametrize(
    ("systems", "root", "path"),
    [
        (
            ["windows"],
            r"C:\Program Files\KPM",
            r"C:\Program Files\KPM\Jobs\bin\Scan\Scan.exe",
        ),
        (["linux"], "/opt/kpm", "/opt/kpm/Jobs/bin/Scan/Scan"),
        (["linux", "macOS"], "/opt/kpm/", "/opt/kpm/Jobs/bin/Scan/Scan"),
    ],
)
def test_a_path_is_spelled_for_its_system(
    tmp_path: Path, systems: list[Any], root: str, path: str
) -> None:
    """Separators and extension; the filter says for which."""
    job = only_job(tmp_path, "@task\ndef scan(): ...")
    document = job.document(systems=systems, agent_root=root)
    assert document["tasks"][0]["executablePath"] == path
    assert [name for name, on in document["osFilter"].items() if on] == systems


@pytest.mark.parametrize(
    ("systems", "root", "why"),
    [
        (["windows", "linux"], "/opt", "no executablePath fits"),
        (["windows"], "/opt", "not absolute on windows"),
        (["linux"], r"C:\x", "not absolute on linux"),
    ],
)
def test_a_path_that_fits_nowhere_is_refused(
    tmp_path: Path, systems: list[Any], root: str, why: str
) -> None:
    """With the reason."""
    with pytest.raises(ValueError, match=why):
        only_job(tmp_path, "@task\ndef scan(): ...").document(systems=systems, agent_root=root)
