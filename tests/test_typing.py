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

import pytest

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


@pytest.mark.slow
def test_pyright_accepts_the_right_calls_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pyright, strict, finds the same."""
    if find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    monkeypatch.setenv("PYRIGHT_PYTHON_IGNORE_WARNINGS", "1")
    if _run("pyright", "--version").returncode:  # it wants node, and may try to download it
        if os.environ.get("CI"):
            pytest.fail("pyright cannot run, and CI must not leave it out")
        pytest.skip("pyright cannot run: it needs node, from this machine or from the network")
    copy = tmp_path / "typing"
    shutil.copytree(CHECKED, copy, ignore=shutil.ignore_patterns("__pycache__"))
    rules = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": "error"}
    project = {**rules, "enableTypeIgnoreComments": False, "extraPaths": [str(ROOT)]}
    (copy / "pyrightconfig.json").write_text(json.dumps(project))
    checked = _run(
        "pyright", "--project", str(copy), "--pythonpath", sys.executable, "--outputjson"
    )
    found = json.loads(checked.stdout)
    assert found["summary"]["filesAnalyzed"] == len(list(CHECKED.glob("*.py"))), found
    assert checked.returncode == 0, checked.stdout
