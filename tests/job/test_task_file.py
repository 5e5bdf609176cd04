"""Tests of the task file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from simulator.task_files import SCANNER, TWO_TASKS, write

from epm_task.job.task_file import TaskFileError, find_task, read_task_file

if TYPE_CHECKING:
    from pathlib import Path


def test_only_task_of_a_file(tmp_path: Path) -> None:
    """A file with one task needs no name."""
    task = find_task(write(tmp_path, SCANNER))
    assert task is not None
    assert task.declaration.job_id == "key-scanner"


def test_one_of_several(tmp_path: Path) -> None:
    """The name chooses; without one, or with a wrong one, the error lists the names."""
    path = write(tmp_path, TWO_TASKS)
    task = find_task(path, "talker")
    assert task is not None
    assert task.siblings().keys() == {"sleeper", "talker"}
    with pytest.raises(TaskFileError, match="several tasks: it holds sleeper, talker; choose one"):
        find_task(path)
    with pytest.raises(TaskFileError, match="no task 'nobody'"):
        find_task(path, "nobody")


def test_files_that_are_not_ours_are_not_imported(tmp_path: Path) -> None:
    """A script without this package, or another program, is left alone."""
    assert find_task(write(tmp_path, "raise SystemExit('imported')")) is None
    assert find_task(write(tmp_path, "epm_task", "program")) is None


@pytest.mark.parametrize("text", ["import epm_task; 1 / 0", "epm_task ="])
def test_file_that_cannot_be_imported(tmp_path: Path, text: str) -> None:
    """The error names file and reason, and no half module stays."""
    before = set(sys.modules)
    with pytest.raises(TaskFileError, match=r"my_task\.py cannot be imported: \w+Error"):
        find_task(write(tmp_path, text))
    assert not [name for name in set(sys.modules) - before if name.startswith("_epm_task_file")]


def test_imported_tasks_belong_to_their_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that a file imports from another one is not its own."""
    write(tmp_path, SCANNER, "scanner_of_test.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = write(tmp_path, "from scanner_of_test import key_scanner as epm_task", "other.py")
    assert read_task_file(path).tasks == {}
