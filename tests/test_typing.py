"""Tests of the types that users see: the files in `tests/typing` are checked, never run.

A wrong call has an ignore comment; a comment that ignores nothing is an error, so
that a type that became too loose turns these tests red.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import epm_task
import epm_task.testing

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
CHECKED = ROOT / "tests" / "typing"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow  # `mypy` alone looks at the same files
def test_mypy_accepts_the_right_calls_only() -> None:
    """`mypy --strict` finds the types that the files assert, and every wrong call."""
    checked = _run("mypy", "--strict", "--warn-unused-ignores", str(CHECKED))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture
def pyright(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run pyright, and return its report; the test is skipped where it cannot run."""
    if find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    monkeypatch.setenv("PYRIGHT_PYTHON_IGNORE_WARNINGS", "1")
    if _run("pyright", "--version").returncode:  # it wants node, and may try to download it
        if os.environ.get("CI"):
            pytest.fail("pyright cannot run, and CI must not leave it out")
        pytest.skip("pyright cannot run: it needs node, from this machine or from the network")

    def report(*arguments: str) -> Any:
        python = ("--pythonpath", sys.executable)
        return json.loads(_run("pyright", *arguments, *python, "--outputjson").stdout)

    return report


@pytest.mark.slow
def test_pyright_accepts_the_right_calls_only(tmp_path: Path, pyright: Callable[..., Any]) -> None:
    """Pyright, strict, finds the same."""
    copy = tmp_path / "typing"
    shutil.copytree(CHECKED, copy, ignore=shutil.ignore_patterns("__pycache__"))
    rules = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": "error"}
    project = {**rules, "enableTypeIgnoreComments": False, "extraPaths": [str(ROOT)]}
    (copy / "pyrightconfig.json").write_text(json.dumps(project))
    found = pyright("--project", str(copy))
    assert found["summary"]["filesAnalyzed"] == len(list(CHECKED.glob("*.py"))), found
    assert found["generalDiagnostics"] == []


@pytest.mark.slow
def test_no_type_of_the_public_names_is_left_to_be_inferred(pyright: Callable[..., Any]) -> None:
    """Type checkers infer differently; what a user touches is stated, and 98 % of the rest."""
    found = pyright("--verifytypes", "epm_task", "--ignoreexternal")["typeCompleteness"]
    symbols = {one["name"]: one for one in found["symbols"] if one["isExported"]}
    public = [
        name
        for module in (epm_task, epm_task.testing)
        for name in module.__all__
        for name in (f"{module.__name__}.{name}", f"{getattr(module, name).__module__}.{name}")
    ]
    inexact = {name for name, one in symbols.items() if one["diagnostics"]}
    assert len(symbols.keys() & public) >= len(epm_task.__all__)
    assert [name for name in inexact if name.startswith(tuple(public))] == []
    assert found["completenessScore"] >= 0.98
