"""Tests of the words that choose the tasks of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli.command import task_file

from epm_task.cli.failure import Failure
from epm_task.cli.job_target import declared_in, job_of

if TYPE_CHECKING:
    from pathlib import Path

TASKS = """
import sys
from epm_task import task

print("looked at")

@task
def scan(): ...

@task
def report_all(): ...
"""
JOBS = """
from epm_task.job import Job
both = Job(id="both", tasks=[scan, report_all])
"""


def chosen(*words: object) -> tuple[str, list[str]]:
    """Return the id and the tasks of the job that the words choose."""
    job = job_of([str(word) for word in words])
    return job.id, [task.name for task in job.tasks]


def test_one_task_is_chosen_by_its_name(tmp_path: Path) -> None:
    """In both spellings."""
    file = task_file(tmp_path, TASKS)
    assert chosen(f"{file}:scan") == ("scan", ["scan"])
    assert chosen(f"{file}:report_all") == chosen(f"{file}:report-all")


def test_several_targets_make_one_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In their order; a file is imported once, and what it prints goes to stderr."""
    file, other = task_file(tmp_path, TASKS), task_file(tmp_path, TASKS, "other.py")
    words = (f"{file}:report-all", f"{file}:scan")
    assert chosen(*words) == ("report-all", ["report-all", "scan"])
    assert capsys.readouterr() == ("", "looked at\n")
    assert chosen(words[0], f"{other}:scan")[1] == ["report-all", "scan"]


def test_the_only_job_or_task_of_a_file_needs_no_name(tmp_path: Path) -> None:
    """A job comes before the tasks that it is made of."""
    assert chosen(task_file(tmp_path, TASKS + JOBS)) == ("both", ["scan", "report-all"])
    alone = task_file(tmp_path, "from epm_task import task\n@task\ndef scan(): ...")
    assert chosen(alone) == ("scan", ["scan"])
    two = task_file(tmp_path, f'{TASKS}{JOBS}other = Job(id="other", tasks=[scan])')
    assert chosen(f"{two}:other") == ("other", ["scan"])
    with pytest.raises(Failure, match=r"as .*:NAME: both, other, scan, report-all$"):
        chosen(two)


@pytest.mark.parametrize(
    ("code", "name", "why"),
    [
        (TASKS, "", "holds several tasks or jobs; choose one"),
        (TASKS, ":nobody", "has no task or job 'nobody'"),
        ("import epm_task", "", "holds no task; decorate"),
        ("import epm_task\n1 / 0", "", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_words_that_do_not_choose(tmp_path: Path, code: str, name: str, why: str) -> None:
    """The sentence says what there is."""
    with pytest.raises(Failure, match=why) as caught:
        job_of([f"{task_file(tmp_path, code)}{name}"])
    assert caught.value.exit_code == 2


def test_a_task_stands_once_in_a_job(tmp_path: Path) -> None:
    """The declarations are checked."""
    file = task_file(tmp_path, TASKS)
    with pytest.raises(Failure, match="the task scan stands twice"):
        job_of([f"{file}:scan", f"{file}:scan"])


def test_a_file_is_read_by_importing_it(tmp_path: Path) -> None:
    """Its tasks and jobs by name."""
    declared = declared_in(task_file(tmp_path, TASKS + JOBS))
    assert (list(declared.tasks), list(declared.jobs)) == (["scan", "report-all"], ["both"])
