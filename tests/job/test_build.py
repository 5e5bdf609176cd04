"""Tests of the document that is made from tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from job.task_code import declared, only_job

from epm_task.job.document import JobDocument

if TYPE_CHECKING:
    from pathlib import Path

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
    """Every fact of the code stands in the document, in the order in which people read it."""
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
                {"name": "Suffix", "type": "string", "defaultValue": ".pem", "required": False},
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
    ("annotation", "merged"),
    [("", False), ("-> None", False), ("-> dict[str, int]", True), ('-> "dict[str, int]"', True)],
)
def test_a_result_is_merged(tmp_path: Path, annotation: str, *, merged: bool) -> None:
    """When the handler's annotation promises one."""
    (step,) = only_job(tmp_path, f"@task\ndef scan() {annotation}: ...").document()["tasks"]
    assert ("MergeStdoutJsonIntoContext" in step) is merged


def test_a_result_is_merged_of_services_only(tmp_path: Path) -> None:
    """The agent does not read stdout of others; an annotation as text counts the same."""
    code = "from __future__ import annotations\n"
    job = only_job(
        tmp_path, '@task(execution_type="UserDesktop")\ndef scan() -> dict[str, int]: ...'
    )
    (step,) = job.document()["tasks"]
    assert step["ExecutionType"] == "UserDesktop"
    assert "MergeStdoutJsonIntoContext" not in step
    path = tmp_path / "later.py"
    path.write_text(f"{code}from epm_task import task\n@task\ndef scan() -> None: ...")
    (job,) = declared(tmp_path, "from later import scan\nj = Job(tasks=[scan])").jobs.values()
    assert "MergeStdoutJsonIntoContext" not in job.document()["tasks"][0]


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
