"""Tests of the verb groups: `epm-task` alone shows what one can want to do."""

from __future__ import annotations

import re

from typer.main import get_command
from typer.testing import CliRunner

from epm_task.cli.main import app

GROUPS = {
    "Write a task": {"new", "upgrade"},
    "Try a task on this machine": {"run", "agent"},
    "Write and check job documents": {"job", "validate", "explain"},
    "Build and check executables": {"freeze", "verify", "verify-install"},
    "Understand a run": {"doctor", "exit-codes"},
    "Administer an agent": {"jobs", "deploy"},
}


def test_verbs_stand_below_what_they_are_for() -> None:
    """Each verb has a section, with the whole of its first sentence."""
    shown = CliRunner().invoke(app, ["--help"]).output
    sections = re.split(r"^(\S[^\n]*):$", shown, flags=re.MULTILINE)[1:]
    found = {
        title: set(re.findall(r"^  ([a-z-]+)  ", body, re.MULTILINE))
        for title, body in zip(sections[::2], sections[1::2], strict=True)
        if title != "Options"
    }
    assert found == GROUPS
    assert "..." not in shown.replace("[ARGS]...", "")


def test_every_verb_is_in_a_group() -> None:
    """No verb is left without a section."""
    assert set(get_command(app).commands) == set().union(*GROUPS.values())
