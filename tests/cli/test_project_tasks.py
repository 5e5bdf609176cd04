"""Tests of the task files that a project names, for verbs that are given no file."""

from __future__ import annotations

from pathlib import Path

import pytest

from epm_task.cli.failure import Failure
from epm_task.cli.project_tasks import project_tasks


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.epm-task]\ntasks = ["src/a.py", "b.py"]\n')
    monkeypatch.chdir(tmp_path)


def test_they_are_those_of_the_project() -> None:
    """In the order of the list."""
    assert project_tasks() == [Path("src/a.py"), Path("b.py")]


def test_a_folder_inside_is_in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths lead to the files from there."""
    monkeypatch.chdir("src")
    assert project_tasks() == [Path("a.py"), Path("../b.py")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[tool.epm-task]\n", "names its tasks"),
        ('[tool.epm-task]\ntasks = "a.py"\n', r"tasks in \[tool.epm-task\] must be"),
        ("[tool", "cannot be read"),
    ],
)
def test_a_project_without_them_is_told(text: str, why: str, tmp_path: Path) -> None:
    """What is missing, and where to write it."""
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(Failure, match=why):
        project_tasks()
