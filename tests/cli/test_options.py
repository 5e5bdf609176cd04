"""Tests of the options that several verbs have."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from cli.command_line import epm_task, loaded

from epm_task.contract.argument_line import command_text

if TYPE_CHECKING:
    from pathlib import Path

VERBS = ("list", "get", "apply", "delete", "validate", "trigger", "run", "reload")
OPTIONS = {"--base-url", "--cert", "--key", "--cacert", "--json"}


def options_of(*words: str) -> set[str]:
    """Return the options of a verb."""
    command = loaded()
    for word in words:
        command = command.commands[word]
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_jobs_has_them(verb: str) -> None:
    """And --json."""
    assert options_of("jobs", verb) >= OPTIONS


def test_doctor_and_validate_have_them_too() -> None:
    """They ask an agent as well."""
    assert options_of("doctor") >= OPTIONS
    assert options_of("validate") >= OPTIONS | {"--live"}


def test_a_bad_table_is_no_matter_until_an_agent_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place of a bad value is told."""
    (tmp_path / "pyproject.toml").write_text("[tool.epm-task.admin]\npassword = 'x'\n")
    (tmp_path / "pyproject.toml").chmod(0o644)
    monkeypatch.chdir(tmp_path)
    assert epm_task("jobs", "--help").exit_code == 0
    ended = epm_task("jobs", "list")
    assert (ended.exit_code, "holds 'password'" in ended.err) == (64, True)
    assert "pyproject.toml" in ended.err


@pytest.mark.parametrize(
    ("typed", "corrected"),
    [
        ("run a.py --root /x", "run a.py -- --root /x"),
        ("run a.py --root=/x -- --deep", "run a.py -- --root=/x --deep"),
        ("run --root /x a.py --json", "run a.py --json -- --root /x"),
        ("run --deep a.py:scan --suffix '*.k y'", "run a.py:scan -- --deep --suffix '*.k y'"),
        ("run --timeout 9 a.py --root /x", "run --timeout 9 a.py -- --root /x"),
        ("run a.py --settin P.k=1", "run a.py -- --settin P.k=1"),
        ("freeze a.py b.py --verify --root /x", "freeze a.py b.py --verify -- --root /x"),
        ("freeze --verify --root /x", "freeze --verify -- --root /x"),
        ("verify dist/Jobs/bin/A --root /x", "verify dist/Jobs/bin/A -- --root /x"),
    ],
)
def test_an_option_of_the_task_comes_after_two_hyphens(typed: str, corrected: str) -> None:
    """The refusal shows the line that works."""
    ended = epm_task(*shlex.split(typed))
    corrected = command_text(shlex.split(corrected))
    assert (ended.exit_code, ended.out) == (2, "")
    assert ended.err.startswith("epm-task: No such option: --")
    assert ended.err.endswith(f"; an option of the task comes after `--`: epm-task {corrected}\n")


@pytest.mark.parametrize(
    "typed", ["jobs list --root /x", "run --root /x", "run a.py -x", "run a.py --timeout"]
)
def test_another_option_is_none_of_the_task(typed: str) -> None:
    """Of a verb without a task, without a file, of one letter, or without its value."""
    ended = epm_task(*shlex.split(typed))
    assert (ended.exit_code, "after `--`" in ended.err) == (2, False)
