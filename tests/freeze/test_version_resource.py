"""Tests of the version resource, which PyInstaller evaluates as Python on Windows."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from epm_task.freeze.version_resource import project_version, version_resource

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("1.2.3", "(1, 2, 3, 0)"), ("1.2.3rc4", "(1, 2, 3, 4)"), ("2026", "(2026, 0, 0, 0)")],
)
def test_the_numbers_are_four(version: str, numbers: str):
    """Whatever the version looks like; the text is an expression."""
    text = version_resource("KeyScanner", version)
    ast.parse(text, mode="eval")
    assert f"filevers={numbers}" in text
    assert "'KeyScanner.exe'" in text


@pytest.mark.parametrize(
    ("project", "version"),
    [
        ('[project]\nversion = "1.2"\n', "1.2"),
        ("[project]\n", "0.0.0"),
        ("broken", "0.0.0"),
    ],
)
def test_the_version_is_the_projects(tmp_path: Path, project: str, version: str):
    """That of the nearest pyproject.toml above the file."""
    (tmp_path / "pyproject.toml").write_text(project)
    assert project_version(tmp_path / "src" / "task.py") == version
