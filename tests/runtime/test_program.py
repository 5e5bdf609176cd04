"""Tests of the usage text: what `--help` says about one task."""

from __future__ import annotations

from datetime import date
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr

from epm_task.exit_code import ExitCode
from epm_task.runtime.invocation import RESERVED_OPTIONS
from epm_task.runtime.parameter import Parameter
from epm_task.runtime.program import usage


class Color(Enum):
    """Choices with values of their own."""

    RED = "red"
    BLUE = "blue"


def row(parameter: Parameter) -> str:
    """Return the help's lines on one parameter, joined, with single blanks."""
    block = usage("scan.py", "", [parameter]).partition("parameters:\n")[2].partition("\n\n")[0]
    return " ".join(block.split())


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (Parameter("root", Path), "--root PATH required"),
        (Parameter("name", str, "world"), "--name STR default: world"),
        (Parameter("name", str, ""), "--name STR"),
        (Parameter("limit", int, None), "--limit INT"),
        (Parameter("limit", int, 0), "--limit INT default: 0"),
        (Parameter("day", date, date(2026, 1, 31)), "--day DATE default: 2026-01-31"),
        (Parameter("verify", bool, default=False), "--verify --no-verify, or =true, =false;"),
        (Parameter("verify", bool, default=False), "default: False"),
        (Parameter("names", str, [], repeated=True), "--names STR may be given several times"),
        (Parameter("names", str, repeated=True), "may be given several times; required"),
        (Parameter("color", Color, Color.RED), "--color red|blue default: red"),
        (Parameter("mode", Literal["a", "b", 3], "a"), "--mode a|b|3 default: a"),
        (Parameter("token", SecretStr), "--token-file PATH required"),
        (Parameter("any", dict[str, int], {}), "--any DICT"),
        (Parameter("root", Path, help="where to look"), "--root PATH where to look; required"),
        (Parameter("a_very_long_name_of_a_parameter", int, 1), "parameter INT default: 1"),
    ],
)
def test_parameter_is_described(parameter: Parameter, text: str) -> None:
    """Option, kind, default and whether it is required stand in one row."""
    assert text in row(parameter)


def test_secret_default_is_hidden() -> None:
    """A secret that is a default shows itself as asterisks."""
    shown = row(Parameter("token", SecretStr, SecretStr("hunter2-secret")))
    assert "default: *****" in shown
    assert "hunter2" not in usage(
        "scan.py", "", [Parameter("token", SecretStr, SecretStr("hunter2"))]
    )


@pytest.mark.parametrize("option", sorted(set(RESERVED_OPTIONS)))
def test_runtime_arguments_are_listed(option: str) -> None:
    """Every option that each task has is explained."""
    assert f"  {option}" in usage("scan.py", "", [])


@pytest.mark.parametrize("code", list(ExitCode))
def test_exit_codes_are_listed(code: ExitCode) -> None:
    """Each exit code stands there with its name and meaning."""
    assert f"{code.value:>3}  {code.name:<12} {code.meaning}" in usage("scan.py", "", [])


@pytest.mark.parametrize(
    ("documentation", "shown"),
    [("Scan ROOT.\n\n    Twice.", "\nScan ROOT.\n\nTwice.\n"), ("", "\n(no description)\n")],
)
def test_docstring_is_the_description(documentation: str, shown: str) -> None:
    """The handler's docstring is shown, freed of its indentation."""
    assert shown in usage("scan.py", documentation, [])


def test_way_to_try_it_is_shown() -> None:
    """The help ends with the command that runs the task here, required arguments included."""
    shown = usage("scan.py", "", [Parameter("root", Path), Parameter("limit", int, 1)])
    assert shown.endswith("  epm-task run scan.py -- --root=VALUE\n")


def test_lines_are_short() -> None:
    """Nothing of the runtime's own is wider than a usual window, the exit codes aside."""
    text = usage("scan.py", "", []).partition("exit codes:")[0]
    assert max(map(len, text.splitlines())) <= 100
