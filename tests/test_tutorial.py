"""The pages for authors run as they are printed, from the top to the bottom, in one shell."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

_BLOCK = re.compile(
    r"(?P<before>[^\n]*)\n+```(?P<language>sh|python)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"`([\w./-]+)`:$")
#: What test_install.py does, with another environment.
_SET_UP = re.compile(r"^(python3 -m venv|\. \.venv|python -m pip).*\n", re.MULTILINE)
_AGENT = re.compile(r"^epm-task agent .*$", re.MULTILINE)
#: It is printed when the agent is there.
_READY = 'until grep -q "base url" agent.txt; do kill -0 $!; sleep 0.05; done'
_PATIENCE = 600

pytestmark = [
    pytest.mark.posix("the blocks are for a POSIX shell"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
]


def _script(page: str) -> str:
    """Return the blocks of a page as one script."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    lines = ["set -eu", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for block in _BLOCK.finditer(text):
        if block["language"] == "sh":
            run = _AGENT.sub(rf"\g<0> >agent.txt &\n{_READY}", _SET_UP.sub("", block["text"]))
            lines.append(run)
        elif named := _FILE.search(block["before"]):
            lines.append(f"cat >{named[1]} <<'END_OF_FILE'\n{block['text']}END_OF_FILE")
    return "\n".join(lines)


def _run(script: str, folder: Path, seconds: int) -> str:
    programs = folder / "programs"
    programs.mkdir()
    shims = {"epm-task": "-m epm_task.cli", "python": "", "ruff": "-m ruff", "mypy": "-m mypy"}
    for name, words in shims.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    env["PYTHONPATH"] = str(ROOT)
    if not importlib.metadata.entry_points(group="pytest11", name="epm_task"):
        env["PYTEST_ADDOPTS"] = "-p epm_task.pytest_plugin"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_whole_tutorial(tmp_path: Path) -> None:
    """Project, run, tests, change, job, lints, freezing and deploying."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    printed = _run(_script("tutorial.md").replace("6889", port), tmp_path, _PATIENCE)
    assert '+  "description": "Count the files below a folder."' in printed
    assert "3 passed" in printed
    assert '{"found":1}' in printed
    assert "scan_finished" in printed


def test_the_upgrade_page(tmp_path: Path) -> None:
    """Nothing to do, then another answer."""
    printed = _run(_script("upgrade.md"), tmp_path, _PATIENCE)
    assert "nothing to do" in printed
    assert "M Jobs/key-scanner.json" in printed
