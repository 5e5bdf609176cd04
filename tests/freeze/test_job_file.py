"""Tests of the job file: what the code says, with what people have added in the project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from freeze.building import SEVERAL, task_file

from epm_task.freeze.freeze_error import FreezeError
from epm_task.freeze.job_file import write_jobs
from epm_task.freeze.program import read_programs

if TYPE_CHECKING:
    from pathlib import Path


def test_one_document_for_each_job(tmp_path: Path):
    """Named for its id, valid JSON, the command as it was built."""
    (program,) = read_programs(task_file(tmp_path / "src", SEVERAL), command="Nightly")
    written = write_jobs(program, tmp_path / "Jobs")
    assert [path.name for path in written] == ["nightly-scan.json", "nightly-report.json"]
    documents = [json.loads(path.read_text("utf-8")) for path in written]
    assert {document["tasks"][0]["command"] for document in documents} == {"Nightly"}
    assert [path.stat().st_mode & 0o777 for path in written] == [0o644, 0o644]


def test_additions_of_the_project_are_kept(tmp_path: Path):
    """A condition that somebody wrote into the project's document is deployed too."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "Jobs").mkdir()
    (program,) = read_programs(task_file(tmp_path / "src", SEVERAL))
    own = tmp_path / "Jobs" / "nightly-scan.json"
    own.write_text(json.dumps({"id": "nightly-scan", "condition": {"a": 1}, "enabled": False}))
    scan, _ = write_jobs(program, tmp_path / "dist" / "Jobs")
    document = json.loads(scan.read_text("utf-8"))
    assert document["condition"] == {"a": 1}
    assert document["enabled"] is False
    assert document["tasks"][0]["command"] == "MyTask"


def test_a_broken_document_of_the_project_is_named(tmp_path: Path):
    """With line and column."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "Jobs").mkdir()
    (tmp_path / "Jobs" / "nightly-scan.json").write_text('{"id": }')
    (program,) = read_programs(task_file(tmp_path, SEVERAL))
    with pytest.raises(FreezeError, match=r"nightly-scan\.json:1:8"):
        write_jobs(program, tmp_path / "dist")
