"""Do what a task's program was started for: run a task, or tell people about it, and end.

Beside a run that is `--help`, `--version` and `--selftest`, which need no agent.
"""

from __future__ import annotations

import os
import sys
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, get_args

from epm_task.contract.names import API_BASE_ARGUMENT
from epm_task.errors import InvocationError, SystemExhausted
from epm_task.exit_code import ExitCode
from epm_task.runtime.invocation import RUNTIME_ARGUMENTS, information_asked_for, task_asked_for
from epm_task.runtime.outcome import Outcome, shadowed_by
from epm_task.runtime.start_up import collector_paused
from epm_task.runtime.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.handler import Handler
    from epm_task.runtime.parameter import Parameter
    from epm_task.runtime.streams import StandardStreams

    #: By name, the tasks of the program's file.
    Tasks: TypeAlias = Mapping[str, tuple[Handler, Declaration]]

_WIDTH: Final = 34


def main(tasks: Tasks, argv: Sequence[str], streams: StandardStreams) -> NoReturn:
    """Do what *argv* asks for, and end the process."""
    try:
        stop = Stop()  # first of all: a signal during the imports ends in an orderly stop
        outcome = _outcome(tasks, argv, streams, stop)
    except (OSError, MemoryError, SystemExhausted) as error:
        if (exhausted := SystemExhausted.of(error)) is None:
            raise
        outcome = Outcome.of_error(exhausted)
    except Exception as error:
        if (shadowed := shadowed_by(error)) is None:
            raise
        outcome = Outcome.of_error(shadowed)
    os._exit(outcome.write(streams))  # no thread can keep the process


def _outcome(tasks: Tasks, argv: Sequence[str], streams: StandardStreams, stop: Stop) -> Outcome:
    information = information_asked_for(argv)
    if information == "--selftest":
        from epm_task.runtime.selftest import selftest  # noqa: PLC0415  # people only

        return selftest({name: handler for name, (handler, _) in tasks.items()}, _version())
    try:
        name = _chosen(tasks, task_asked_for(argv))
    except InvocationError as error:
        return Outcome.of_error(error)
    handler, declaration = tasks[name]
    if information:
        python = ".".join(map(str, sys.version_info[:3]))
        text = f"{name} (epm-task {_version()}, Python {python})\n"
        if information == "--help":
            text = usage(sys.argv[0], handler.function.__doc__ or "", handler.parameters)
        return Outcome(stdout=text.encode("utf-8", "backslashreplace"))
    with collector_paused():
        from epm_task.runtime import spine  # noqa: PLC0415  # httpx, structlog: 60 ms

    return spine.run(handler, declaration, argv, streams, stop)


def _chosen(tasks: Tasks, name: str | None) -> str:
    if name is None and len(tasks) == 1:
        return next(iter(tasks))
    if name is not None and name in tasks:
        return name
    raise InvocationError(
        f"the task {name!r} does not exist" if name else "--task is missing",
        f"this file holds {', '.join(tasks)}",
        "pass --task=NAME",
    )


def _version() -> str:
    # Not imported at the top: for type checkers the package imports what imports this module.
    version: str = import_module("epm_task").__version__
    return version


def usage(program: str, documentation: str, parameters: Iterable[Parameter]) -> str:
    """Return the help of a task: what it does, its parameters, the runtime's, the exit codes."""
    from textwrap import dedent  # noqa: PLC0415  # people only

    summary, _, more = documentation.strip().partition("\n")
    rows = list(parameters)
    required = "".join(f" {p.option}=VALUE" for p in rows if p.required)
    lines = [
        f"usage: {program} {API_BASE_ARGUMENT}{required} [options]",
        "",
        f"{summary}\n{dedent(more)}".rstrip() or "(no description)",
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
        f"  epm-task run {program} --{required}",
        "",
    ]
    return "\n".join(lines)


def _row(parameter: Parameter) -> str:
    left = parameter.option if parameter.flag else f"{parameter.option} {shape(parameter)}"
    notes = [parameter.help] if parameter.help else []
    if parameter.flag:
        notes.append(f"--no-{parameter.option[2:]}, or =true, =false")
    if parameter.repeated:
        notes.append("may be given several times")
    if parameter.required:
        notes.append("required")
    elif parameter.default not in (None, "", [], ()):
        notes.append(f"default: {_default(parameter)}")
    return _line(left, "; ".join(notes))


def _default(parameter: Parameter) -> str:
    if parameter.secret or type(parameter.default) in {str, bool, int, float}:
        return str(parameter.default)
    return ", ".join(parameter.default_texts())


def _line(left: str, right: str) -> str:
    gap = f"\n{'':{_WIDTH}}" if len(left) + 4 > _WIDTH and right else ""
    return f"  {left:<{_WIDTH - 2}}{gap}{right}".rstrip()


def shape(parameter: Parameter) -> str:
    """Return the placeholder for a value of the parameter: `PATH`, `INT`, `fast|slow`."""
    if parameter.secret:
        return "PATH"
    kind: Any = parameter.base
    choices = get_args(kind) if not isinstance(kind, type) else ()
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = tuple(member.value for member in kind)
    if choices and all(isinstance(choice, str | int) for choice in choices):
        return "|".join(map(str, choices))
    return "PATH" if kind is Path else getattr(kind, "__name__", "value").upper()
