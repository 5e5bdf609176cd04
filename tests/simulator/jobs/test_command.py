"""Tests of the command."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from epm_task.contract.cannot_start import CannotStart
from epm_task.contract.tokens import substitute
from epm_task.simulator.jobs.command import (
    ParameterProblem,
    command_line,
    python_program,
    run_values,
)

if TYPE_CHECKING:
    from pathlib import Path


def _file(path: Path, text: str = "", *, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("name", "text", "mode", "interpreter"),
    [
        ("binary", "\x7fELF", 0o755, []),
        ("script", "#!/bin/sh\n", 0o755, []),
        pytest.param(
            *("script", "#! /usr/bin/env  python3 -u\n", 0o644, ["/usr/bin/env", "python3 -u"]),
            marks=pytest.mark.posix("modes are POSIX"),
        ),
        ("script.py", "#!/bin/sh\n", 0o755, []),
        ("script.py", "print()\n", 0o755, [sys.executable]),
        ("script.sh", "echo\n", 0o644, ["/bin/sh"]),
    ],
)
def test_auto(tmp_path: Path, name: str, text: str, mode: int, interpreter: list[str]) -> None:
    """Shebang first, then extension."""
    program = _file(tmp_path / name, text, mode=mode)
    wanted = [*interpreter, str(program), "a b"]
    assert command_line(program, "Auto", ["a b"], "linux") == wanted


def test_named_script_types(tmp_path: Path) -> None:
    """A `scriptType` other than `Auto` names the interpreter."""
    program = _file(tmp_path / "x", "echo\n", mode=0o644)
    assert command_line(program, "Bash", [])[0] == "/bin/bash"
    assert "-File" in command_line(program, "PowerShell", [])
    with pytest.raises(CannotStart, match="no interpreter for scriptType 'cobol'"):
        command_line(program, "Cobol", [])


@pytest.mark.posix("modes are POSIX")
def test_plain_file_is_refused(tmp_path: Path) -> None:
    """A file that cannot be run in any way says what to do."""
    program = _file(tmp_path / "data", "x", mode=0o644)
    with pytest.raises(CannotStart, match="chmod 755") as caught:
        command_line(program, "Auto", [], "linux")
    assert caught.value.exit_code == 126


def test_batch_file_cannot_be_injected(tmp_path: Path) -> None:
    """cmd.exe would run what follows an ampersand, so such an argument is refused."""
    program = _file(tmp_path / "x.cmd")
    assert command_line(program, "Auto", ["plain"], "win32") == [str(program), "plain"]
    with pytest.raises(CannotStart, match="batch file"):
        command_line(program, "Auto", ['"&calc'], "win32")


def test_interpreter_keeps_its_pid() -> None:
    """The process that was started is the one that runs the code."""
    program, env = python_program()
    code = "import os; print(os.getpid())"
    with subprocess.Popen(
        [program, "-c", code], stdout=subprocess.PIPE, env={**os.environ, **env}
    ) as process:
        out, _ = process.communicate()
    assert int(out) == process.pid


def test_windows_environment_is_bypassed() -> None:
    """On Windows the real interpreter is named, and told of its environment."""
    program, env = python_program("win32")
    if sys.prefix == sys.base_prefix:
        assert (program, env) == (sys.executable, {})
    else:
        assert program == sys._base_executable  # type: ignore[attr-defined]
        assert env == {"__PYVENV_LAUNCHER__": sys.executable}


def _values(
    job: dict[str, Any], context: dict[str, Any] | None = None, *, windows: bool = False
) -> dict[str, str]:
    paths = {"home": "/home/x"}
    return run_values(job, context or {}, paths=paths, base_url="https://h:1", windows=windows)


def test_default_and_context() -> None:
    """A parameter takes the context's value, else its default in either spelling, else nothing."""
    a, b = {"name": "A", "default": 1}, {"name": "B", "defaultValue": "x"}
    job = {"parameters": [a, b, {"name": "C"}]}
    assert _values(job, {"B": True}) == {
        "A": "1",
        "B": "true",
        "C": "",
        "home": "/home/x",
        "KeeperApiBaseUrl": "https://h:1",
    }


def test_required_parameter_without_value() -> None:
    """The run does not start, and the name is told."""
    with pytest.raises(ParameterProblem, match="'Root' is required"):
        _values({"parameters": [{"name": "Root", "required": True}]})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int", "-3", "3.5"),
        ("number", "3.5", "nan"),
        ("Boolean", "TRUE", "maybe"),
        ("number", 2, "x"),
    ],
)
def test_type_is_checked(kind: str, good: object, bad: object) -> None:
    """A value that is none of its type keeps the run from starting, and is not repeated."""
    job = {"parameters": [{"name": "P", "type": kind}]}
    assert "P" in _values(job, {"P": good})
    with pytest.raises(ParameterProblem, match="'P' is declared as") as caught:
        _values(job, {"P": bad})
    assert repr(bad) not in str(caught.value)


@pytest.mark.parametrize("windows", [False, True])
@given(
    kind=st.sampled_from(["int", "number", "float", "double", "decimal", "bool", "boolean"]),
    text=st.text("0123456789+-._eE\u0663 \t\n\r\v\f\u00a0\u2003trueTRUE"),
)
@example(kind="int", text=" 5")
@example(kind="number", text="5\u00a0")
@example(kind="number", text="\v5\f")
@example(kind="bool", text="true\n")
def test_a_plain_value_without_quotes_is_one_argument(
    kind: str, text: str, *, windows: bool
) -> None:
    """Or it is refused; so such a token needs no quotes."""
    job = {"parameters": [{"name": "P", "type": kind}]}
    try:
        values = _values(job, {"P": text})
    except ParameterProblem:
        return
    assert substitute("--p={P} {P}", values, windows=windows) == [f"--p={text}", text]


def test_nul_is_refused() -> None:
    """No argument can hold a NUL character."""
    with pytest.raises(ParameterProblem, match="NUL"):
        _values({"parameters": [{"name": "P"}]}, {"P": "a\0b"})


def test_context_fields_are_tokens() -> None:
    """Fields of the event context can be used without a declaration; objects are JSON text."""
    values = _values({}, {"file": "/a", "list": [1, "ä"], "none": None})
    assert values["file"] == "/a"
    assert values["list"] == '[1, "ä"]'
    assert "none" not in values


def test_context_cannot_move_folders_or_the_api() -> None:
    """A context cannot take the place of the agent's own values."""
    values = _values({}, {"home": "/evil", "KeeperApiBaseUrl": "https://evil"})
    assert values["home"] == "/home/x"
    assert values["KeeperApiBaseUrl"] == "https://h:1"


def test_declared_parameter_wins_over_a_folder() -> None:
    """A job may use the name of a path token for a parameter of its own."""
    job = {"parameters": [{"name": "home", "defaultValue": "/mine"}]}
    assert _values(job)["home"] == "/mine"


def test_case_of_names_does_not_count_on_windows() -> None:
    """A context fills a parameter whose name differs in case."""
    job = {"parameters": [{"name": "Root", "required": True}]}
    assert _values(job, {"ROOT": "r"}, windows=True)["Root"] == "r"
    with pytest.raises(ParameterProblem):
        _values(job, {"ROOT": "r"})
