"""Tests of the steps that are made from tasks."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from job.task_code import declared, only_job, task_with
from pydantic import BaseModel

from epm_task.contract.tokens import substitute
from epm_task.job import Job
from epm_task.job.step import command_name
from epm_task.runtime.invocation import parse_arguments
from epm_task.runtime.value_text import text_of


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


def test_an_executable_has_a_name(tmp_path: Path) -> None:
    """That of its only task's job, or of the file, unless the task says another one."""
    for code, name in (
        ("@task\ndef scan_all(): ...", "ScanAll"),
        ("@task(job_id='key-scan')\ndef scan(): ...", "KeyScan"),
        ("@task(command='scan_all')\ndef scan(): ...", "scan_all"),
    ):
        assert command_name(only_job(tmp_path, code).tasks[0]) == name
    two = declared(tmp_path, "@task\ndef one(): ...\n@task\ndef other(): ...")
    assert {command_name(task) for task in two.tasks.values()} == {"MyScan"}


class Color(enum.Enum):
    """A choice."""

    RED = "red"


class Point(BaseModel):
    """A model."""

    x: int


@dataclass
class Span:
    """A dataclass."""

    start: Path


@pytest.mark.parametrize(
    ("parameter", "argument", "entry"),
    [
        ("root: Path", '--root="{Root}"', {"type": "string", "required": True}),
        (
            "max_bytes: int = 5",
            "--max-bytes={MaxBytes}",
            {"type": "integer", "default": 5, "required": False},
        ),
        (
            "share: float = 1.5",
            "--share={Share}",
            {"type": "number", "default": 1.5, "required": False},
        ),
        (
            "deep: bool = True",
            "--deep={Deep}",
            {"type": "boolean", "default": True, "required": False},
        ),
        (
            'root: Path = Path("a") / "b"',
            '--root="{Root}"',
            {"type": "string", "default": "a/b", "required": False},
        ),
        ("name: str | None = None", '--name="{Name}"', {"type": "string", "required": False}),
        (
            'level: Literal["low", "high"] = "low"',
            '--level="{Level}"',
            {"type": "string", "default": "low", "required": False},
        ),
        (
            "age: datetime.timedelta = datetime.timedelta(hours=1)",
            '--age="{Age}"',
            {"type": "string", "default": "3600.0", "required": False},
        ),
        ("port: list[int] | None = None", "--port={Port}", {"type": "integer", "required": False}),
        (
            'words: list[str] = ["a", "b"]',
            '--words="{Words}"',
            {"type": "string", "required": False},
        ),
        (
            "api_token: SecretStr",
            '--api-token-file="{ApiTokenFile}"',
            {"type": "string", "required": True},
        ),
    ],
)
def test_a_parameter_becomes_an_argument_and_an_entry(
    tmp_path: Path, parameter: str, argument: str, entry: dict[str, Any]
) -> None:
    """Text is quoted, numbers are not; a secret is the name of a file."""
    document = only_job(tmp_path, task_with(parameter)).document()
    line = document["tasks"][0]["arguments"]
    assert line == f"--keeper-api-base={{KeeperApiBaseUrl}} {argument}"
    ((name, *_),) = [tuple(found.values()) for found in document["parameters"]]
    assert document["parameters"] == [{"name": name, **entry}]
    assert f"{{{name}}}" in argument


@pytest.mark.parametrize("windows", [True, False])
def test_the_task_understands_its_arguments(tmp_path: Path, *, windows: bool) -> None:
    """Filled with the defaults, as the agent does it, every value is that of the code."""
    code = task_with(
        'root: Path = Path("a b"), count: int = 3, name: str | None = None'
        ', words: list[str] = ["x"], when: datetime.date = datetime.date(2026, 1, 31)'
        ', deep: bool = False, text: str = "\\"\'"'
    )
    (job,) = declared(tmp_path, code).all_jobs()
    document, (task,) = job.document(), job.tasks
    values = {p["name"]: p.get("default", "") for p in document["parameters"]}
    texts = {name: text_of(value) for name, value in values.items()}
    _, *argv = substitute(document["tasks"][0]["arguments"], texts, windows=windows)
    assert parse_arguments(task.parameters, argv) == {
        parameter.name: parameter.default for parameter in task.parameters
    }


def test_a_file_of_several_tasks_names_the_task(tmp_path: Path) -> None:
    """By `--task`, because the executable holds them all."""
    found = declared(tmp_path, "@task\ndef one(): ...\n@task\ndef other_one(): ...")
    lines = [job.document()["tasks"][0] for job in found.all_jobs()]
    assert [line["command"] for line in lines] == ["MyScan", "MyScan"]
    assert lines[1]["arguments"] == "--keeper-api-base={KeeperApiBaseUrl} --task=other-one"


def test_equal_parameters_are_one(tmp_path: Path) -> None:
    """Different ones get names of their own, and no two differ by their case alone."""
    code = """
@task
def one(*, root: Path, depth: int = 1, home: str = "x"): ...
@task
def two(*, root: Path, depth: int = 2, ROOT: int = 1): ...
"""
    found = declared(tmp_path, code).tasks
    document = Job(tasks=list(found.values()), id="both").document()
    assert [entry["name"] for entry in document["parameters"]] == [
        *("Root", "Depth", "OneHome", "TwoDepth", "TwoROOT")
    ]
    assert "--depth={TwoDepth}" in document["tasks"][1]["arguments"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (True, "true"),
        (1.5, "1.5"),
        (PurePosixPath("/a"), "/a"),
        (Color.RED, "red"),
        (dt.date(2026, 1, 31), "2026-01-31"),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00+00:00"),
        ({"a": Path("b")}, '{"a":"b"}'),
        (dt.timedelta(minutes=1), "60.0"),
        (Point(x=1), '{"x":1}'),
        (Span(Path("a")), '{"start":"a"}'),
        ([1, Color.RED], '[1,"red"]'),
    ],
)
def test_a_value_has_a_text(value: Any, text: str) -> None:
    """Structures are JSON."""
    assert text_of(value) == text
