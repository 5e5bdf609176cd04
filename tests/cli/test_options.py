"""Tests of the options that several verbs have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli.command_line import epm_task, loaded

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
