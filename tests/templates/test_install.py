"""Tests of the whole way of a new author: a wheel of this package in a fresh environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from templates.rendering import ROOT, TEMPLATE, files_below, run

#: pip downloads and builds.
_PATIENCE = 600


@pytest.mark.slow
def test_a_new_project_passes_its_gates_after_an_installation(tmp_path: Path) -> None:
    """A wheel made of the sdist, `epm-task new`, then what the project runs in CI, but freeze."""
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    programs = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    env = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(tmp_path / "env"),
        "PYTHONPATH": "",
    }
    python = programs / "python"
    pip = (python, "-m", "pip", "install", "-q")
    run(*pip, "build", cwd=tmp_path, env=env, seconds=_PATIENCE)
    run(python, "-m", "build", "--outdir", tmp_path / "dist", ROOT, cwd=tmp_path, env=env)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(*pip, f"{wheel}[tools]", cwd=tmp_path, env=env, seconds=_PATIENCE)
    found = run(python, "-c", "import epm_task; print(epm_task.__file__)", cwd=tmp_path, env=env)
    assert Path(found.strip()).is_relative_to(tmp_path)
    page = Path(found.strip()).parent / "simulator" / "console" / "page"
    assert {file.name for file in page.iterdir()} >= {"index.html", "console.css", "console.js"}

    answers = ("--answer", "publish_findings=yes")
    run(programs / "epm-task", "new", "key-scanner", *answers, cwd=tmp_path, env=env)
    project = tmp_path / "key-scanner"
    rendered = TEMPLATE.render({"publish_findings": True}, tmp_path / "from-the-repository")
    assert files_below(project) == files_below(rendered)
    run(*pip, "-e", ".[dev]", cwd=project, env=env, seconds=_PATIENCE)
    for gate in (
        "ruff check",
        "ruff format --check",
        "mypy",
        "epm-task job --check",
        "epm-task validate Jobs",
        "pytest -q",
        "epm-task run src/key_scanner.py -- --root .",
    ):
        program, *words = gate.split()
        run(programs / program, *words, cwd=project, env=env)
    run(programs / "python", "-c", "import key_scanner", cwd=tmp_path, env=env)
