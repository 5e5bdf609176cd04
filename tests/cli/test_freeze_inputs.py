"""Tests of the words of `epm-task freeze`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from freeze.building import EXAMPLES

from epm_task.cli.failure import Failure
from epm_task.cli.freeze_inputs import before_and_after, data_pair, files_and_tasks

if TYPE_CHECKING:
    from pathlib import Path


def test_arguments_begin_with_a_hyphen():
    """The hyphens between have gone by then; a target never begins with one."""
    assert before_and_after(["a.py", "b.py:t", "--root", "."]) == (
        ["a.py", "b.py:t"],
        ["--root", "."],
    )
    assert before_and_after([]) == ([], [])


def test_tasks_of_one_file_belong_together():
    """No name stands for all of them."""
    hello = EXAMPLES / "hello.py"
    named = files_and_tasks([f"{hello}:hello", f"{hello}:other_one"])
    assert named == {hello: ["hello", "other-one"]}
    assert files_and_tasks([str(hello)]) == {hello: []}
    with pytest.raises(Failure):
        files_and_tasks(["nowhere.py"])


def test_data_goes_into_the_program_only(tmp_path: Path):
    """A folder inside of it, or its top."""
    assert data_pair(f"{tmp_path}=a/b") == (tmp_path, "a/b")
    assert data_pair(str(tmp_path)) == (tmp_path, ".")
    for text in ("nowhere", f"{tmp_path}=/etc", f"{tmp_path}=../x"):
        with pytest.raises(Failure):
            data_pair(text)
