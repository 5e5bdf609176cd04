"""Tests of installed programs: what is known of an executable, from wherever it is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from freeze.building import program

from epm_task.freeze.freeze_error import FreezeError
from epm_task.freeze.installed import read_installed

if TYPE_CHECKING:
    from pathlib import Path

TASKS = [
    {"name": "scan", "job_id": "a", "publishes": ["Jobs/a/x"]},
    {"name": "report", "job_id": "b", "publishes": []},
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A program with a manifest of two tasks."""
    folder = program(tmp_path, "")
    manifest = {"manifest": 1, "executable": "Probe", "tasks": TASKS, "files": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_folder_and_executable_name_the_same_program(place: Path):
    """Without a job document, the topics are those that the code declares."""
    found = read_installed(place)
    assert found == read_installed(place / "Probe")
    assert (found.folder, found.command) == (place, "Probe")
    assert found.topics(found.task([])) == ["KeeperLogger", "Jobs/a/x"]


def test_the_job_document_beside_it_counts(place: Path):
    """Its topics are what the agent will allow; other files there do not matter."""
    jobs = place.parents[1]
    (jobs / "a.json").write_text("{")
    (jobs / "b.json").write_text('{"id": "b", "tasks": [{"command": "Other"}]}')
    (jobs / "c.json").write_text("[]")
    document = {"id": "d", "tasks": [{"command": "Probe"}]}
    document["mqttTopics"] = {"allowedPublications": ["Only"]}
    (jobs / "d.json").write_text(json.dumps(document))
    found = read_installed(place)
    assert found.job == document
    assert found.topics({}) == ["Only"]


def test_a_task_is_chosen_by_argument(place: Path):
    """The first one stands in when none is chosen."""
    found = read_installed(place)
    assert found.task([])["name"] == "scan"
    assert found.task(["--task=report"])["name"] == "report"
    assert found.task(["--task", "report"])["name"] == "report"
    with pytest.raises(FreezeError, match="it has scan, report"):
        found.task(["--task=other"])


def test_any_other_executable_stands_alone(tmp_path: Path):
    """Nothing is known of it, and the folder around it is not taken along."""
    tool = tmp_path / "tool"
    tool.touch()
    found = read_installed(tool)
    assert (found.folder, found.manifest, found.job, found.task([])) == (None, None, None, {})


@pytest.mark.parametrize("name", ["none", "empty"])
def test_what_is_no_program_is_refused(tmp_path: Path, name: str):
    """A path that is not there, and a folder without an executable of its name."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(FreezeError):
        read_installed(tmp_path / name)


def test_a_broken_manifest_is_refused(place: Path):
    """It would hide what the program is."""
    (place / "manifest.json").write_text("{")
    with pytest.raises(FreezeError, match="build the program again"):
        read_installed(place)
