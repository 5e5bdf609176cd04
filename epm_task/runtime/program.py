"""A usage text is what `--help` prints about one task."""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from epm_task.contract.names import API_BASE_ARGUMENT
from epm_task.exit_code import ExitCode
from epm_task.runtime.invocation import RUNTIME_ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from epm_task.runtime.parameter import Parameter

_WIDTH = 34


def usage(program: str, documentation: str, parameters: Iterable[Parameter]) -> str:
    """Return the help of a task: what it does, its parameters, the runtime's, the exit codes."""
    rows = list(parameters)
    required = "".join(f" {p.option}=VALUE" for p in rows if p.required)
    lines = [
        f"usage: {program} {API_BASE_ARGUMENT}{required} [options]",
        "",
        inspect.cleandoc(documentation or "(no description)"),
        "",
        "parameters:",
        *([_row(parameter) for parameter in rows] or ["  (none)"]),
        "",
        "arguments of the runtime, the same for every task:",
        *(_row(argument) for argument in RUNTIME_ARGUMENTS),
        _line("--help", "show this text"),
        _line("--version", "show the versions of the task's runtime"),
        _line("--selftest", "import all that a run needs, compare the files with the manifest"),
        "",
        "exit codes:",
        *(f"  {code.value:>3}  {code.name:<12} {code.meaning}" for code in ExitCode),
        "  1-63 belong to the task's author",
        "",
        "An agent starts this program; to try it on this machine:",
        f"  epm-task run {program} --{_example(rows)}",
        "",
    ]
    return "\n".join(lines)


def _row(parameter: Parameter) -> str:
    shape = f"{parameter.option} {_shape(parameter)}" if not parameter.flag else parameter.option
    notes = [parameter.help] if parameter.help else []
    if parameter.flag:
        notes.append(f"--no-{parameter.option[2:]}, or =true, =false")
    if parameter.repeated:
        notes.append("may be given several times")
    if parameter.required:
        notes.append("required")
    elif parameter.default not in (None, "", [], ()):
        notes.append(f"default: {_text(parameter.default)}")
    return _line(shape, "; ".join(notes))


def _line(left: str, right: str) -> str:
    gap = f"\n{'':{_WIDTH}}" if len(left) + 4 > _WIDTH and right else ""
    return f"  {left:<{_WIDTH - 2}}{gap}{right}".rstrip()


def _shape(parameter: Parameter) -> str:
    if parameter.secret:
        return "PATH"
    kind: Any = parameter.kind
    choices = get_args(kind) if not isinstance(kind, type) else ()
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = tuple(member.value for member in kind)
    if choices and all(isinstance(choice, str | int) for choice in choices):
        return "|".join(map(str, choices))
    return "PATH" if kind is Path else getattr(kind, "__name__", "value").upper()


def _text(default: Any) -> str:
    return str(default.value) if isinstance(default, Enum) else str(default)


def _example(rows: Iterable[Parameter]) -> str:
    return "".join(f" {parameter.option} VALUE" for parameter in rows if parameter.required)
