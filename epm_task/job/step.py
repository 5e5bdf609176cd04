"""Make a step of a job document from a task: its command, and its line of arguments."""

from __future__ import annotations

import inspect
import math
import re
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.names import API_BASE_ARGUMENT, API_BASE_URL, EVENT_TYPE, SERVICE
from epm_task.contract.tokens import PATH_TOKEN_NAMES

if TYPE_CHECKING:
    from pathlib import PurePath

    from epm_task.runtime.parameter import Parameter
    from epm_task.runtime.task import Task


#: Annotations of handlers that return no result; the last is the text of the first two.
_NO_RESULT: Final = (None, type(None), "None")


def step_of(
    task: Task[..., Any],
    lines: ArgumentLines,
    folder: PurePath | None,
    extension: str,
    *,
    continue_on_failure: bool,
) -> dict[str, Any]:
    """Return the step that runs *task*; a fact that the code does not state is left out.

    With the agent's *folder* `Jobs/bin` the step names its program by `executablePath`.
    """
    declared, command = task.declaration, command_name(task)
    step: dict[str, Any] = {
        "id": task.name,
        "name": declared.job_name,
        "ExecutionType": declared.execution_type,
        "command": command,
    }
    if folder is not None:
        step["executablePath"] = str(folder / command / f"{command}{extension}")
    step["arguments"] = lines.line(task)
    if declared.timeout_seconds is not None:
        # The agent takes whole seconds; the task's own deadline stays below the rounded value.
        spread = (declared.spread_minutes or 0) * 60
        step["timeoutSeconds"] = math.ceil(declared.timeout_seconds + spread)
    step |= {"continueOnFailure": continue_on_failure, "scriptType": "Auto"}
    if _returns_result(task) and declared.execution_type == SERVICE:
        step["MergeStdoutJsonIntoContext"] = True
    return step


def _returns_result(task: Task[..., Any]) -> bool:
    """Return whether the handler's annotation promises a result; one without does not."""
    annotation = inspect.signature(task.handler.function).return_annotation
    return annotation is not inspect.Signature.empty and annotation not in _NO_RESULT


def command_name(task: Task[..., Any]) -> str:
    """Return the name of the executable that holds *task*: `KeyScanner`, without path or extension.

    One file becomes one executable, which is named for its only task's job, or for the file.
    """
    if task.declaration.command:
        return task.declaration.command
    alone = len(task.siblings()) == 1
    words = task.declaration.job_id if alone else Path(task.file).stem
    parts = re.split(r"[^0-9A-Za-z]+", words)
    return "".join(part[:1].upper() + part[1:] for part in parts) or "Task"


#: Types of parameters whose text never holds a blank, with the document's word for each.
_PLAIN_TYPES: Final[dict[Any, str]] = {int: "integer", float: "number", bool: "boolean"}
#: Names that the agent fills itself; a parameter must not take one, whatever its case.
_TAKEN: Final = {
    name.casefold() for names in PATH_TOKEN_NAMES.values() for name in (*names, API_BASE_URL)
}


#: The option of the runtime, and the parameter that an event's context fills.
STARTED_BY: Final = "--started-by"
_EVENT: Final = {"name": EVENT_TYPE, "type": "string", "default": "", "required": False}


class ArgumentLines:
    """The argument lines of a job's tasks; equal parameters of two tasks become one.

    Attributes:
        parameters: Entries for the job's `parameters`, in the order of their first use.
    """

    def __init__(self) -> None:
        self.parameters: list[dict[str, Any]] = []

    def line(self, task: Task[..., Any]) -> str:
        """Return the arguments of *task*, and add what they need to `parameters`."""
        words = [API_BASE_ARGUMENT]
        if len(task.siblings()) > 1:
            words.append(f"--task={task.name}")
        if task.declaration.spread_minutes is not None:
            # A job that an event has started begins at once.
            words.append(f'{STARTED_BY}="{{{EVENT_TYPE}}}"')
            if _EVENT not in self.parameters:
                self.parameters.append(_EVENT)
        for parameter in task.parameters:
            token = f"{{{self._name(task, parameter)}}}"
            quoted = token if _plain_type(parameter) else f'"{token}"'
            words.append(f"{parameter.option}={quoted}")
        return " ".join(words)

    def _name(self, task: Task[..., Any], parameter: Parameter) -> str:
        own = "".join(word.capitalize() for word in task.name.split("-")) + parameter.token
        names = chain((parameter.token, own), (f"{own}{number}" for number in count(2)))
        return next(found for name in names if (found := self._entered(name, parameter)))

    def _entered(self, name: str, parameter: Parameter) -> str:
        """Return the name of the entry for *parameter*; empty when *name* means another one."""
        wanted: dict[str, Any] = {"name": name, "type": _plain_type(parameter) or "string"}
        # A token is one text: a list's default stays in the code, which uses it for an empty value.
        # That of a secret stays there too.
        in_code = parameter.default is None or parameter.repeated or parameter.secret
        if not (parameter.required or in_code):
            wanted["default"] = parameter.default_value()
        wanted["required"] = parameter.required
        # On Windows the case of a token does not count, so no two names may differ by it alone.
        known = {entry["name"].casefold(): entry for entry in self.parameters}
        present = known.get(name.casefold())
        if name.casefold() in _TAKEN or present not in (None, wanted):
            return ""
        if present is None:
            self.parameters.append(wanted)
        return name


def _plain_type(parameter: Parameter) -> str:
    base = parameter.base
    return _PLAIN_TYPES.get(base, "") if isinstance(base, type) else ""
