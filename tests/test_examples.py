"""Tests of the examples: each runs under an agent, is short, is listed, and explains itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from peers.patience import PATIENCE

from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))

#: Parameters, exit code, result, and the records' messages of each example.
EXPECTED: dict[str, tuple[dict[str, Any], int, dict[str, Any] | None, list[str]]] = {
    "async_probe": ({"port": [1]}, 0, {"open": []}, ["probe_finished"]),
    "exposed_files": ({"root": EXAMPLES}, 0, {"new": 1, "still": 0, "gone": 0}, ["scanning"]),
    "hello": ({"name": "you"}, 0, {"greeting": "Hello you"}, []),
    "key_scanner": ({"root": EXAMPLES}, 0, {"found": 1}, ["scan_finished"]),
    "own_exit_code": ({"percent": 101.0}, 3, None, ["disk_measured", "task_failed"]),
    "publish_findings": (
        {"root": EXAMPLES},
        0,
        {"found": len(FILES)},
        ["publishing", "findings_published"],
    ),
    "typed_settings": ({}, 0, {"keep_days": 3}, ["settings_in_force"]),
}

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """One agent for all examples."""
    settings = {"TempCleaner": {"keep_days": 3, "api_token": "s3cret"}}
    with Agent(settings=settings) as running:
        yield running


def by_hand(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an example without an agent, in the root of the repository."""
    words = [sys.executable, str(file.relative_to(EXAMPLES.parent)), *arguments]
    return subprocess.run(
        words, cwd=EXAMPLES.parent, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@each_file
def test_runs_under_an_agent(agent: Agent, file: Path) -> None:
    """Exit code, result and records are as the example says; nothing was denied."""
    parameters, exit_code, result, messages = EXPECTED[file.stem]
    run = agent.run(file, parameters=parameters)
    assert (run.exit_code, run.result) == (exit_code, result), run.stderr
    assert [record.message for record in run.records] == messages
    assert run.acknowledged == len(messages)
    assert not run.denials
    assert b"s3cret" not in run.stderr
    assert "s3cret" not in str(run.records)


@each_file
def test_is_short_and_listed(file: Path) -> None:
    """At most 40 lines, the last one 60; the list links it; it begins with a sentence."""
    text = file.read_text("utf-8")
    assert len(text.splitlines()) <= (60 if file.stem == "exposed_files" else 40)
    assert f"[{file.name}]({file.name})" in (EXAMPLES / "README.md").read_text("utf-8")
    assert text.startswith('"""')


@each_file
def test_help_needs_no_agent(file: Path) -> None:
    """`--help` shows docstring and options on stdout and ends with 0."""
    done = by_hand(file, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--keeper-api-base" in done.stdout
    for name in EXPECTED[file.stem][0]:
        assert f"--{name}" in done.stdout


def test_by_hand() -> None:
    """Without an agent an example ends with 64 and the line that runs it."""
    done = by_hand(EXAMPLES / "hello.py")
    assert (done.returncode, done.stdout) == (64, "")
    assert f"epm-task run {Path('examples', 'hello.py')}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_all_examples_are_expected() -> None:
    """Every example has its row in this test, and no row is left over."""
    assert {file.stem for file in FILES} == EXPECTED.keys()


def test_what_is_new_or_gone_since_the_last_run(agent: Agent, tmp_path: Path) -> None:
    """Findings have a fingerprint that stays, and a second run without changes says nothing."""
    file = EXAMPLES / "exposed_files.py"
    (tmp_path / "a.pem").touch()
    (tmp_path / "b.txt").write_text("-----BEGIN PRIVATE KEY-----\n", "utf-8")
    agent.reset()
    first, second = (agent.run(file, parameters={"root": tmp_path}) for _ in range(2))
    (tmp_path / "a.pem").unlink()
    (tmp_path / "c.pem").touch()
    third = agent.run(file, parameters={"root": tmp_path})
    results = [run.result for run in (first, second, third)]
    assert results == [
        {"new": 2, "still": 0, "gone": 0},
        {"new": 0, "still": 2, "gone": 0},
        {"new": 1, "still": 1, "gone": 1},
    ]
    assert not second.messages
    payloads: list[Any] = [one.payload for run in (first, third) for one in run.messages]
    told = [(Path(str(one["path"])).name, one["status"]) for one in payloads]
    assert sorted(told[:2]) == [("a.pem", "new"), ("b.txt", "new")]
    assert told[2:] == [("c.pem", "new"), ("a.pem", "gone")]
    prints = {one["path"]: one["fingerprint"] for one in payloads}
    assert len(set(prints.values())) == 3
    assert {one["fingerprint"] for one in payloads if str(one["path"]).endswith("a.pem")} == {
        prints[str(tmp_path / "a.pem")]
    }
