"""Tests of the package's surface: few names, frozen, imported when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import epm_task

NAMES = {
    "AgentError",
    "BrokerError",
    "DeadlineExceeded",
    "ExitCode",
    "InvocationError",
    "SettingsError",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskFailed",
    "TaskSettings",
    "TemporaryFailure",
    "Topic",
    "task",
}


def test_public_names_are_frozen() -> None:
    """Adding or removing a public name is a decision, not an accident."""
    assert set(epm_task.__all__) == NAMES
    assert len(NAMES) <= 14


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_public_name_resolves(name: str) -> None:
    """Each name leads to the thing of that name."""
    assert getattr(epm_task, name).__name__ == name


def test_names_are_listed_before_they_are_imported() -> None:
    """`dir` knows all public names."""
    assert set(dir(epm_task)) >= NAMES


def test_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name is told as Python tells it."""
    with pytest.raises(AttributeError, match="no attribute 'tasks'"):
        epm_task.tasks  # noqa: B018  # looking it up is the point


def test_import_of_the_package_imports_nothing_else_of_it() -> None:
    """`import epm_task` costs next to nothing: no runtime module is loaded by it."""
    program = "import sys, epm_task; print([m for m in sys.modules if m.startswith('epm_task.')])"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"
