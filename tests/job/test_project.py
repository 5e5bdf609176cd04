"""Tests of the project around a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from peers.garbling import as_toml, garbled

from epm_task.errors import UnsafeConfiguration
from epm_task.job.project import BadProject, ProjectSettings, find_project, read_project, read_table

if TYPE_CHECKING:
    from pathlib import Path


def test_the_nearest_project_counts(tmp_path: Path) -> None:
    """Upward from the folder, also when the nearest says nothing to epm-task.

    It may begin with the byte order mark of Windows' editors.
    """
    (tmp_path / "pyproject.toml").write_text(
        '\ufeff[tool.epm-task]\nselect = ["EPM003"]\nignore = ["EPM012"]\n'
        'tasks = ["src/tasks.py"]\n',
        encoding="utf-8",
    )
    deep = tmp_path / "a" / "Jobs"
    deep.mkdir(parents=True)
    assert find_project(deep) == tmp_path / "pyproject.toml"
    assert read_project(deep) == ProjectSettings(
        ("EPM003",), ("EPM012",), (tmp_path / "src" / "tasks.py",)
    )
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert read_project(deep) == ProjectSettings()


def test_without_a_project_nothing_is_set(tmp_path: Path) -> None:
    """Then all rules hold, and no task is known."""
    assert read_project(tmp_path) == ProjectSettings()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[tool.epm-task", "cannot be read"),
        ("[tool]\nepm-task = 5", r"\[tool.epm-task\] must be a table"),
        ("tool = 5", r"\[tool\] must be a table"),
        ('[tool.epm-task]\nignore = "EPM012"', "ignore in .* must be a list of texts"),
        ("[tool.epm-task]\nselect = [12]", "select in"),
    ],
)
def test_an_unusable_file_is_named(tmp_path: Path, text: str, why: str) -> None:
    """With the reason."""
    file = tmp_path / "pyproject.toml"
    file.write_text(text)
    with pytest.raises(BadProject, match=why) as caught:
        read_project(tmp_path)
    assert str(file) in str(caught.value)


def test_a_table_that_is_absent_is_empty(tmp_path: Path) -> None:
    """Nobody needs to write it."""
    file = tmp_path / "pyproject.toml"
    file.write_text("[tool.epm-task]\n")
    assert read_table(file, "tool", "epm-task", "admin") == {}


_TABLE = {
    "project": {"name": "x", "version": "1.0"},
    "tool": {"epm-task": {"select": ["EPM003"], "ignore": ["EPM012"], "tasks": ["scan.py"]}},
}


@pytest.mark.parametrize("admin", [False, True])
def test_a_garbled_project_is_read_or_refused(tmp_path: Path, *, admin: bool) -> None:
    """Whatever stands where, it is one sentence, and never a traceback."""
    (tmp_path / "scan.py").write_text("")
    refused = 0
    for what, variant in garbled(_TABLE):
        (tmp_path / "pyproject.toml").write_text(as_toml(variant))
        try:
            found = read_project(tmp_path, admin=admin)
        except (BadProject, UnsafeConfiguration):
            refused += 1
        else:
            assert all(isinstance(one, str) for one in (*found.select, *found.ignore)), what
    assert refused > 60


def test_a_task_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """The project is told, which names it."""
    (tmp_path / "pyproject.toml").write_text('[tool.epm-task]\ntasks = ["nul\\u0000.py"]\n')
    with pytest.raises(BadProject, match=r"cannot be read: Invalid argument; correct .*toml"):
        read_project(tmp_path)
