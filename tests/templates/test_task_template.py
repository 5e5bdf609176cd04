"""Tests of the template: what it makes is right in each combination of answers."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml
from templates.rendering import (
    ROOT,
    TEMPLATE,
    Project,
    combinations,
    cookiecutter,
    files_below,
    run,
)

import epm_task
from epm_task.cli.verbs import SECTIONS
from epm_task.job.job import Job
from epm_task.contract.json_text import format_json
from epm_task.job.task_file import read_task_file

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.scaffold.template import Answer

#: Findings and settings, yes or no, with each schedule once, and names of every kind.
_DIFFERENT = [
    pytest.param("disk-report", "hourly", False, False, marks=pytest.mark.slow),
    pytest.param("found", "daily", True, False, marks=pytest.mark.slow),
    pytest.param("path", "startup", False, True, marks=pytest.mark.slow),
    ("has-the-longest-name-of-all-xxxx", "manual", True, True),
]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[Project]:
    """One project for each combination of answers."""
    folder = tmp_path_factory.mktemp("projects")
    return [Project(TEMPLATE.render(one, folder), one) for one in combinations()]


def test_it_asks_six_things() -> None:
    """A seventh question would be one too many."""
    assert len(TEMPLATE.questions) <= 6


@pytest.mark.slow
def test_ruff_finds_nothing(projects: list[Project]) -> None:
    """Each project is clean by its own rules, and formatted."""
    folder = projects[0].folder.parent
    run(sys.executable, "-m", "ruff", "check", "--no-cache", folder, cwd=folder)
    run(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", folder, cwd=folder)


@pytest.mark.slow
def test_mypy_finds_nothing(projects: list[Project]) -> None:
    """Each project is strictly typed."""
    folder = projects[0].folder.parent
    sources = os.pathsep.join(str(project.module.parent) for project in projects)
    files = [path for one in projects for path in one.folder.rglob("*.py")]
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "cache", *files]
    run(*command, cwd=folder, env={"MYPYPATH": os.pathsep.join([sources, str(ROOT)])})


def test_the_task_is_short(projects: list[Project]) -> None:
    """Nobody has much to read, or to delete, before the own work begins."""
    assert max(len(one.module.read_text().splitlines()) for one in projects) <= 25


def test_the_job_is_what_the_code_declares(projects: list[Project]) -> None:
    """The JSON of the template has not drifted from the builder, byte for byte."""
    for project in projects:
        (task,) = read_task_file(project.module).tasks.values()
        assert project.job.read_text() == format_json(Job(tasks=[task]).document())


def test_pyproject_keeps_version_and_answers(projects: list[Project]) -> None:
    """`epm-task upgrade` needs them."""
    for project in projects:
        table = tomllib.loads((project.folder / "pyproject.toml").read_text())
        assert table["project"]["name"] == project.name
        kept = table["tool"]["epm-task"]["template"]
        assert kept == {"version": TEMPLATE.version, **project.answers}


def test_the_starter_fits_any_name(projects: list[Project]) -> None:
    """Nothing but name and description says what the task is about."""
    for path, content in files_below(projects[1].folder).items():
        assert not re.search(rb"\.pem|private|secret|scanner", content, re.IGNORECASE), path


def test_no_file_is_dead(projects: list[Project]) -> None:
    """Each file has a content and no trace of the template; what is YAML can be read."""
    for project in projects:
        files = files_below(project.folder)
        assert len(files) == 10
        for path, content in files.items():
            text = content.decode()
            assert "cookiecutter" not in text
            assert "{%" not in text
            assert text.strip()
            assert text.endswith("\n")
            assert not text.endswith("\n\n")
            if path.endswith((".yml", ".yaml")):
                yaml.safe_load(text)


def test_the_rules_for_assistants_name_what_there_is(projects: list[Project]) -> None:
    """They are short enough to be read each time, and every command and name of theirs exists."""
    for project in projects:
        text = (project.folder / "AGENTS.md").read_text()
        assert text.count("\n") <= 40
        verbs = {verb for section in SECTIONS.values() for verb in section}
        assert set(re.findall(r"epm-task ([\w-]+)", text)) <= verbs
        assert set(re.findall(r"`(Task\w+|Topic)", text)) <= set(epm_task.__all__)
        assert set(re.findall(r"ctx\.(\w+)", text)) <= {"log", *vars(epm_task.TaskContext)}
        assert f"`{project.module.relative_to(project.folder).as_posix()}`" in text


@pytest.mark.parametrize(("name", "schedule", "findings", "settings"), _DIFFERENT)
def test_generated_tests_pass(
    name: str, schedule: str, findings: Answer, settings: Answer, tmp_path: Path
) -> None:
    """The author's first `pytest` is green, whatever the task is called."""
    wanted = {"schedule": schedule, "publish_findings": findings, "typed_settings": settings}
    project = Project(TEMPLATE.render({"name": name, **wanted}, tmp_path), {"name": name})
    installed = importlib.metadata.entry_points(group="pytest11", name="epm_task")
    plugin = [] if installed else ["-p", "epm_task.pytest_plugin"]
    printed = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin),
        cwd=project.folder,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert "3 passed" in printed


def test_cookiecutter_alone_makes_the_same(tmp_path: Path) -> None:
    """Who has no `epm-task` loses nothing."""
    assert cookiecutter(tmp_path).returncode == 0
    ours = TEMPLATE.render({}, tmp_path / "ours")
    assert files_below(tmp_path / "key-scanner") == files_below(ours)


def test_cookiecutter_alone_says_why_a_name_is_refused(tmp_path: Path) -> None:
    """The hook runs before a file is made, and nothing is left."""
    refused = cookiecutter(tmp_path, "name=key_scanner")
    assert refused.returncode != 0
    assert "underscore" in refused.stderr
    assert "write 'key-scanner'" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("key_scanner", "underscore"),
        ("key scanner", "lower case letters"),
        ("Key-Scanner", "lower case letters"),
        ("schlüssel", "lower case letters"),
        ("../up", "lower case letters"),
        ("a--b", "lower case letters"),
        ("-a", "lower case letters"),
        ("", "lower case letters"),
        ('a"b', "lower case letters"),
        ("{{ 1 }}", "lower case letters"),
        ("a\n", "lower case letters"),
        ("1st", "digit"),
        ("class", "keyword"),
        ("json", "hide the module json"),
        ("epm-task", "hide the module epm_task"),
        ("sum", "another meaning"),
        ("tmp-path", "another meaning"),
        ("run", "another meaning"),
        ("src", "another meaning"),
        ("test-disk", "pytest finds tests"),
        ("con", "Windows"),
        ("x" * 33, "32"),
    ],
)
def test_bad_names_are_refused(name: str, why: str) -> None:
    """Each name that would make a project that cannot work, with the reason."""
    assert why in TEMPLATE.refusal({"name": name, "description": "Do it."})


@pytest.mark.parametrize(
    "text", ["", "x" * 81, 'say "no"', "a\\b", "two\nlines", "{{ x }}", " blank", "1 digit"]
)
def test_bad_descriptions_are_refused(text: str) -> None:
    """They would break the files in which they stand."""
    assert "description" in TEMPLATE.refusal({"name": "key-scanner", "description": text})


@pytest.mark.parametrize("text", ["Zähle die Schlüssel.", "It's done & <dusted>", "鍵を数える"])
def test_any_language_describes(text: str, tmp_path: Path) -> None:
    """A description in another script is the same in code, job and project."""
    answers = TEMPLATE.complete({"description": text})
    project = Project(TEMPLATE.render(answers, tmp_path), answers)
    (task,) = read_task_file(project.module).tasks.values()
    assert project.job.read_text("utf-8") == format_json(Job(tasks=[task]).document())
    table = tomllib.loads((project.folder / "pyproject.toml").read_text("utf-8"))
    assert table["project"]["description"] == text
