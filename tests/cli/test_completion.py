"""Tests of completion: the words that a shell shows, and what is loaded for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cli.command import HELLO, environment
from cli.test_main import modules
from peers.patience import PATIENCE

from epm_task.cli.completion import completing
from epm_task.cli.verbs import load
from epm_task.job.rules import RULES

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import re, warnings
from epm_task import task
import epm_task as e
raise SystemExit("this file was imported")

@task
def key_scanner(): ...

@e.task(job_id="other")
async def disk_report(): ...

@e.TaskFailed
def helper(): "\\d"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tasks that cannot be imported, jobs of a project, and those of an agent."""
    (tmp_path / "tasks.py").write_text(CODE)
    for name in ("Jobs/mine.json", "agent/Jobs/key-scanner.json", "agent/Jobs/$(id).json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(*words: str) -> list[str] | None:
    """Return what completes the last word; None when the verb itself is asked."""
    verb, *before, incomplete = words
    found: Any = completing(verb, before, load)
    return None if found is None else [one.value for one in found.shell_complete(None, incomplete)]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("run tasks.py:", ["tasks.py:key-scanner", "tasks.py:disk-report"]),
        ("job tasks.py:disk_", ["tasks.py:disk-report"]),
        ("validate Jobs tasks.py:k", ["tasks.py:key-scanner"]),
        ("run tasks.py : k", ["key-scanner"]),  # as bash splits it
        ("run tasks.py :", ["key-scanner", "disk-report"]),
        ("run tasks.p", []),  # the shell itself completes files
        ("run absent.py:", []),
        ("run Jobs:", []),
        ("run Jobs/mine.json:", []),
        ("jobs get m", ["mine"]),
        ("runs list --agent-root agent --job ", ["key-scanner", "mine"]),
        ("doctor --agent-root absent --job m", ["mine"]),
        ("explain epm03", [code for code in RULES if code.startswith("EPM03")]),
        ("validate --select EPM001,EPM002", ["EPM001,EPM002"]),
        ("validate --ignore X", []),
        ("run --setting tasks.py:", None),
        ("jobs ", None),
        ("agent --root ", None),
    ],
)
def test_values_are_completed(words: str, found: list[str] | None) -> None:
    """Names that no job can have are left out: a shell may take them for a command."""
    assert values(*words.split(" ")) == found


def test_files_that_are_no_code_complete_nothing(folder: Path) -> None:
    """Nor do those that are too long, or nested too deeply to be read."""
    for text in ("def", "\0", "(" * 100_000, "#" * (1 << 20) + "\n" + CODE):
        (folder / "odd.py").write_text(text)
        assert values("run", "odd.py:") == []


def test_codes_come_with_their_titles() -> None:
    """The shells that show a text beside a value show the rule's."""
    completed: Any = completing("explain", [], load)
    (shown,) = completed.shell_complete(None, "EPM003")
    assert shown.help == RULES["EPM003"].title


@pytest.mark.parametrize(
    ("words", "place", "loaded"),
    [("epm-task explain EPM003", 2, True), (f"epm-task run {HELLO} : h", 4, False)],
)
def test_a_value_loads_no_verb(words: str, place: int, *, loaded: bool) -> None:
    """The rules are loaded for their codes; no library but that of the command line is."""
    asked = {"_EPM_TASK_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    found = modules(**asked)
    assert {name for name in found if name.startswith("epm_task.cli.")} == {
        "epm_task.cli.completion",
        "epm_task.cli.interruption",
        "epm_task.cli.main",
        "epm_task.cli.verbs",
    }
    heavy = {"cookiecutter", "cryptography", "httpx", "psutil", "rich"}
    assert found & heavy == set()
    assert ("epm_task.job.rules" in found) == loaded


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (["run", "tasks.py", ":", "disk"], "disk-report"),
        (["jobs", "get", "--js"], "--json"),
        (["jobs", "get", "mi"], "mine"),
    ],
)
def test_bash_shows_them(folder: Path, words: list[str], reply: str) -> None:
    """With the function that `--install-completion` gives it."""
    program = folder / "epm-task"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m epm_task.cli "$@"\n')
    program.chmod(0o755)
    script = f"""
    eval "$(_EPM_TASK_COMPLETE=source_bash epm-task)"
    COMP_WORDS=(epm-task {" ".join(words)}); COMP_CWORD={len(words)}
    _epm_task_completion epm-task
    echo "${{COMPREPLY[@]}}"
    """
    shown = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        env=environment({"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (shown.stdout, shown.stderr) == (f"{reply}\n", "")
