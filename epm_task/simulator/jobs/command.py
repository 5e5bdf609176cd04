"""Make the command line of a task: its program, the interpreter, and the text of each token.

Which text a token has, lowest first: event context merged with the results of earlier tasks, path
tokens, the job's declared parameters, `{KeeperApiBaseUrl}`. A declared parameter takes its value
from the context when the context has one, else its default, else it is empty. So a context can fill
parameters, yet it cannot move the API's address or a folder of the machine that the job did not
declare itself.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.argument_line import fits_batch
from epm_task.contract.cannot_start import CannotStart
from epm_task.contract.executable import SHEBANG_BYTES, shebang
from epm_task.contract.layout import SCRIPT_TYPES, on_path
from epm_task.contract.names import API_BASE_URL, default_of
from epm_task.errors import EpmTaskError, UnsafeConfiguration
from epm_task.runtime.value_text import NUMBER, WHOLE
from epm_task.trust import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def command_line(
    program: Path, script_type: str, arguments: Sequence[str], platform: str = sys.platform
) -> list[str]:
    """Return the argv that runs *program*, through an interpreter when it is a script.

    *script_type* is `Auto` (shebang or extension decides), or the name of an interpreter.

    Raises:
        CannotStart: The file is neither executable nor a script with a known interpreter, or an
            argument could break out of a batch file's command line.
    """
    kind = script_type.casefold()
    if kind in {"", "auto", "none"}:
        kind = _kind_of(program, platform)
    if kind == "batch" and not fits_batch(arguments):
        raise CannotStart(
            f"the batch file {program} cannot be started",
            "an argument holds one of the characters that cmd.exe reads as commands "
            '(" % ! & | < > ^)',
            "let the job run a program instead",
        )
    return [*_interpreter(program, kind), str(program), *arguments]


def _kind_of(program: Path, platform: str) -> str:
    if platform != "win32":
        if os.access(program, os.X_OK) and (
            _shebang(program) or program.suffix not in SCRIPT_TYPES
        ):
            return "program"
        if _shebang(program):
            return "shebang"
    kind = SCRIPT_TYPES.get(program.suffix.casefold(), "program")
    if kind == "program" and platform != "win32":
        raise CannotStart(
            f"{program} cannot be started",
            "it is not executable, and neither a #! line nor its extension names an interpreter",
            f"chmod 755 {shlex.quote(str(program))}, and begin a script with a #! line",
        )
    return kind


def _interpreter(program: Path, kind: str) -> list[str]:
    if kind in {"program", "batch"}:
        return []
    if kind == "shebang":
        return _shebang(program)
    if kind == "python":
        return [python_program()[0]]
    if kind in {"shell", "sh", "bash"}:
        return ["/bin/bash" if kind == "bash" else "/bin/sh"]
    if kind == "powershell":
        shell = on_path("pwsh") or on_path("powershell") or "powershell"
        return [str(shell), "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"]
    raise CannotStart(
        f"{program} cannot be started",
        f"this agent knows no interpreter for scriptType {kind!r}",
        "write Auto, or the name of one",
    )


def _shebang(program: Path) -> list[str]:
    """Return the words of the `#!` line; none of a file that may be executed and not read."""
    try:
        with open_regular(program) as file:
            return shebang(file.read(SHEBANG_BYTES))
    except (OSError, UnsafeConfiguration):
        return []


def python_program(platform: str = sys.platform) -> tuple[str, dict[str, str]]:
    """Return the interpreter's path, and the environment it needs.

    On Windows (untested) a virtual environment's `python.exe` starts the real one as a child, and
    the agent would register the wrong PID; so the real one is named, and told where it belongs.
    """
    base = str(getattr(sys, "_base_executable", None) or sys.executable)
    if platform == "win32" and os.path.normcase(base) != os.path.normcase(sys.executable):
        return base, {"__PYVENV_LAUNCHER__": sys.executable}
    return sys.executable, {}


_WHOLE: Final = frozenset({"int", "integer"})
_NUMBERS: Final = frozenset({"number", "float", "double", "decimal"})
_FLAGS: Final = frozenset({"bool", "boolean"})
_FLAG_WORDS: Final = frozenset({"true", "false", "1", "0", "yes", "no"})


class ParameterProblem(EpmTaskError):
    """A declared parameter has no usable value, so the run does not start."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(
            f"parameter {name!r} {what}", fix="give another value, or correct the declaration"
        )


def run_values(
    job: Mapping[str, Any],
    context: Mapping[str, object],
    *,
    paths: Mapping[str, str],
    base_url: str,
    windows: bool,
) -> dict[str, str]:
    """Return the text of every token of one run.

    *context* is merged with the results of earlier tasks; with *windows* the case of names does not
    count.

    Raises:
        ParameterProblem: A required parameter has no value, or a value is not of its type.
    """
    key = str.casefold if windows else str
    values = {name: as_text(value) for name, value in context.items() if value is not None}
    values |= paths
    given = {key(name): value for name, value in context.items()}
    for parameter in job.get("parameters") or []:
        name = str(parameter.get("name", ""))
        value = given.get(key(name))
        if value is None:
            value = default_of(parameter)
        if value is None and parameter.get("required"):
            raise ParameterProblem(
                name, "is required, and neither trigger nor default gave a value"
            )
        kind = str(parameter.get("type", ""))
        values[name] = "" if value is None else _typed(name, kind, value)
    return values | {API_BASE_URL: base_url}


def as_text(value: object) -> str:
    """Return *value* as an argument has it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _typed(name: str, kind: str, value: object) -> str:
    """Check the text against the type words that are known; an unknown word accepts everything."""
    text, kind = as_text(value), kind.casefold()
    if "\0" in text:
        raise ParameterProblem(name, "holds a NUL character, which an argument cannot carry")
    # None of them holds a blank, so that an author may leave the quotes out.
    if (
        (kind in _WHOLE and not re.fullmatch(WHOLE, text))
        or (kind in _NUMBERS and not _is_number(text))
        or (kind in _FLAGS and text.casefold() not in _FLAG_WORDS)
    ):
        raise ParameterProblem(name, f"is declared as {kind}, and its value is not one")
    return text


def _is_number(text: str) -> bool:
    return re.fullmatch(NUMBER, text) is not None and math.isfinite(float(text))
