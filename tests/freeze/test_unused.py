"""Tests of the unused modules: a source start does without them too."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from freeze.building import ROOT

from epm_task.freeze.unused import (
    RICH_VALUES,
    SETTINGS,
    UNUSED,
    belongs_to,
    registered,
    write_hooks,
)

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


_SPINE = """
import json, sys, epm_task.runtime.spine, epm_task.runtime.broker.connection
print(json.dumps(sorted(sys.modules)))
"""


def test_a_source_start_loads_none_of_them() -> None:
    """So leaving them out of a program changes nothing that runs."""
    done = subprocess.run([sys.executable, "-c", _SPINE], capture_output=True, check=True)
    loaded = json.loads(done.stdout)
    never = tuple(name for names in UNUSED.values() for name in names)
    assert [name for name in loaded if belongs_to(name, never)] == []
    assert {"httpx", "paho.mqtt.client"} <= set(loaded)
    assert SETTINGS not in loaded


def test_a_package_is_no_prefix() -> None:
    """`richer` does not belong to `rich`."""
    assert belongs_to("rich.console", ("rich",))
    assert not belongs_to("richer", ("rich",))


def test_the_registered_folder_holds_our_hook() -> None:
    """The entry point names the function, as PyInstaller asks for it."""
    (folder,) = registered()
    assert (Path(folder) / "hook-epm_task.py").is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    points = project["entry-points"]["pyinstaller40"]
    assert points == {"hook-dirs": "epm_task.freeze.unused:registered"}


@pytest.mark.parametrize(
    ("pydantic", "asyncio", "out"),
    [
        (False, False, {RICH_VALUES, "asyncio"}),
        (True, True, set()),
        (False, True, {RICH_VALUES}),
    ],
)
def test_written_hooks(
    tmp_path: Path, *, pydantic: bool, asyncio: bool, out: AbstractSet[str]
) -> None:
    """Each is a Python file; what a run can need is not among what is left out."""
    folder = write_hooks(tmp_path / "hooks", pydantic=pydantic, asyncio=asyncio)
    excluded: set[str] = set()
    for path in folder.iterdir():
        tree = ast.parse(path.read_text())
        if path.name.startswith("hook-epm_task"):
            (assignment,) = tree.body
            assert isinstance(assignment, ast.Assign)
            excluded |= set(ast.literal_eval(assignment.value))
    assert excluded & {RICH_VALUES, "asyncio"} == out
