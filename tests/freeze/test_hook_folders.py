"""Tests of the hook folders: PyInstaller finds ours, and what is written is Python."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from freeze.building import ROOT

from epm_task.freeze.hook_folders import registered, write_hooks

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


def test_the_registered_folder_holds_our_hook():
    """The entry point names the function, as PyInstaller asks for it."""
    (folder,) = registered()
    assert (Path(folder) / "hook-epm_task.py").is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    points = project["entry-points"]["pyinstaller40"]
    assert points == {"hook-dirs": "epm_task.freeze.hook_folders:registered"}


@pytest.mark.parametrize(
    ("pydantic", "asyncio", "out"),
    [
        (False, False, {"pydantic", "asyncio"}),
        (True, True, set()),
        (False, True, {"pydantic"}),
    ],
)
def test_written_hooks(tmp_path: Path, *, pydantic: bool, asyncio: bool, out: AbstractSet[str]):
    """Each is a Python file; what a run can need is not among what is left out."""
    folder = write_hooks(tmp_path / "hooks", pydantic=pydantic, asyncio=asyncio)
    excluded: set[str] = set()
    for path in folder.iterdir():
        tree = ast.parse(path.read_text())
        if path.name.startswith("hook-epm_task"):
            (assignment,) = tree.body
            assert isinstance(assignment, ast.Assign)
            excluded |= set(ast.literal_eval(assignment.value))
    assert excluded & {"pydantic", "asyncio"} == out
