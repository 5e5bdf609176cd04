"""Tests of the documents that the words after `epm-task validate` mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cli.command import task_file

from epm_task.cli.failure import Failure
from epm_task.cli.lint_target import lint_targets

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
from epm_task import task
from epm_task.job import Job

@task
def scan(): ...

@task
def report(): ...

nightly = Job(id="nightly", tasks=[report])
"""


def write_jobs(folder: Path, *ids: str) -> None:
    """Write one small document for each id."""
    for job_id in ids:
        (folder / f"{job_id}.json").write_text(json.dumps({"id": job_id}))


def test_a_folder_stands_for_its_documents(tmp_path: Path) -> None:
    """In the order of their names, not those below it; each knows its neighbours."""
    write_jobs(tmp_path, "b", "a")
    (tmp_path / "bin").mkdir()
    write_jobs(tmp_path / "bin", "data")
    (tmp_path / "notes.txt").write_text("x")
    targets = lint_targets([tmp_path])
    assert [target.name for target in targets] == [
        str(tmp_path / "a.json"),
        str(tmp_path / "b.json"),
    ]
    for target in targets:
        assert target.subject is not None
        assert target.subject.neighbours == {"a", "b"}


def test_code_stands_for_its_jobs(tmp_path: Path) -> None:
    """With the line of the first task of each."""
    nightly, scan = lint_targets([task_file(tmp_path, CODE)])
    for target, job_id, line in ((nightly, "nightly", 8), (scan, "scan", 5)):
        assert target.subject is not None
        assert (target.subject.document.raw["id"], target.line) == (job_id, line)


def test_documents_know_their_code(tmp_path: Path) -> None:
    """Named beside them, in whatever order, or by the project; else they have none."""
    code = task_file(tmp_path, CODE)
    jobs = tmp_path / "Jobs"
    jobs.mkdir()
    write_jobs(jobs, "nightly", "other")
    known = [target.subject.job for target in lint_targets([jobs, code])[:2] if target.subject]
    assert [job.id if job else None for job in known] == ["nightly", None]
    (target, _) = lint_targets([jobs])
    assert target.subject is not None
    assert target.subject.job is None
    (jobs / "pyproject.toml").write_text('[tool.epm-task]\ntasks = ["../my_task.py"]\n')
    (target, _) = lint_targets([jobs])
    assert target.subject is not None
    assert target.subject.job is not None


def test_what_is_no_document_is_a_finding(tmp_path: Path) -> None:
    """The others are inspected all the same."""
    (tmp_path / "a.json").write_text("[")
    write_jobs(tmp_path, "b")
    broken, good = lint_targets([tmp_path])
    assert (broken.subject, good.broken) == (None, None)
    assert broken.broken is not None
    assert broken.broken.code == "EPM000"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("absent.json", "there is no file"),
        ("empty", "holds no job documents"),
        ("none.py", "holds no task"),
        ("broken.py", "cannot be imported: ZeroDivisionError"),
        ("wrong/a.json", "must be like"),
        ("lost/a.json", "there is no file .*gone.py; correct tasks"),
    ],
)
def test_wrong_paths(tmp_path: Path, name: str, why: str) -> None:
    """One sentence each."""
    for folder, text in (("wrong", "ignore = 5"), ("lost", 'tasks = ["gone.py"]')):
        (tmp_path / folder).mkdir()
        write_jobs(tmp_path / folder, "a")
        (tmp_path / folder / "pyproject.toml").write_text(f"[tool.epm-task]\n{text}\n")
    (tmp_path / "empty").mkdir()
    task_file(tmp_path, "import epm_task", "none.py")
    task_file(tmp_path, "import epm_task\n1 / 0", "broken.py")
    with pytest.raises(Failure, match=why):
        lint_targets([tmp_path / name])
