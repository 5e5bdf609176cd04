"""Tests of what a project says about lints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from epm_task.job.lint_settings import BadLintSettings, LintSettings, find_settings

if TYPE_CHECKING:
    from pathlib import Path


def test_the_nearest_table_counts(tmp_path: Path) -> None:
    """Upward from the file; a pyproject.toml without the table is passed over."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.epm-task]\nselect = ["EPM003"]\nignore = ["EPM012"]\ntasks = ["src/tasks.py"]\n'
    )
    deep = tmp_path / "a" / "Jobs"
    deep.mkdir(parents=True)
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert find_settings(deep / "scan.json") == LintSettings(
        ("EPM003",), ("EPM012",), (tmp_path / "src" / "tasks.py",)
    )
    (deep / "pyproject.toml").write_text("[tool.epm-task]\n")
    assert find_settings(deep / "scan.json") == LintSettings()


def test_a_project_need_not_say_anything(tmp_path: Path) -> None:
    """Then all rules hold."""
    assert find_settings(tmp_path / "scan.json") == LintSettings()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[tool.epm-task", "cannot be read"),
        ("[tool]\nepm-task = 5", "must be a table"),
        ('[tool.epm-task]\nignore = "EPM012"', 'must be like \\["EPM012"\\]'),
        ("[tool.epm-task]\nselect = [12]", "select in"),
    ],
)
def test_unusable_settings_name_the_file(tmp_path: Path, text: str, why: str) -> None:
    """With the reason."""
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(BadLintSettings, match=why) as caught:
        find_settings(tmp_path / "scan.json")
    assert str(tmp_path / "pyproject.toml") in str(caught.value)
