"""An argument line is the one text that starts a task, with the parameters that fill its tokens."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, timedelta
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from epm_task.job.path_token_names import API_BASE_URL, PATH_TOKEN_NAMES

if TYPE_CHECKING:
    from epm_task.runtime.parameter import Parameter
    from epm_task.runtime.task import Task

#: Types of parameters whose text never holds a blank, with the document's word for each.
_PLAIN_TYPES: Final[dict[Any, str]] = {int: "integer", float: "number", bool: "boolean"}
#: Names that the agent fills itself; a parameter must not take one, whatever its case.
_TAKEN: Final = {
    name.casefold() for names in PATH_TOKEN_NAMES.values() for name in (*names, API_BASE_URL)
}


class ArgumentLines:
    """The argument lines of a job's tasks; equal parameters of two tasks become one.

    Attributes:
        parameters: Entries for the job's `parameters`, in the order of their first use.
    """

    def __init__(self) -> None:
        """Begin without parameters."""
        self.parameters: list[dict[str, Any]] = []

    def line(self, task: Task[..., Any]) -> str:
        """Return the arguments of *task*, and add what they need to `parameters`."""
        words = [f"--keeper-api-base={{{API_BASE_URL}}}"]
        if len(task.siblings()) > 1:
            words.append(f"--task={task.name}")
        for parameter in task.parameters:
            token = f"{{{self._name(task, parameter)}}}"
            quoted = token if parameter.kind in _PLAIN_TYPES else f'"{token}"'
            words.append(f"{parameter.option}={quoted}")
        return " ".join(words)

    def _name(self, task: Task[..., Any], parameter: Parameter) -> str:
        own = "".join(word.capitalize() for word in task.name.split("-"))
        for name in (parameter.token, f"{own}{parameter.token}"):
            if (entry := self._entry(name, parameter)) is not None:
                return str(entry["name"])
        number = 2
        while (entry := self._entry(f"{own}{parameter.token}{number}", parameter)) is None:
            number += 1
        return str(entry["name"])

    def _entry(self, name: str, parameter: Parameter) -> dict[str, Any] | None:
        """Return the entry for *parameter* below *name*; None when the name means another one."""
        wanted = _described(name, parameter)
        # On Windows the case of a token does not count, so no two names may differ by it alone.
        known = {entry["name"].casefold(): entry for entry in self.parameters}
        if name.casefold() in _TAKEN:
            return None
        if (present := known.get(name.casefold())) is not None:
            return present if present == wanted else None
        self.parameters.append(wanted)
        return wanted


def argument_text(value: Any) -> str:
    """Return the text by which an argument stands for *value*; structures are JSON."""
    if isinstance(value, Enum):
        return argument_text(value.value)
    if isinstance(value, str | int | float | PurePath):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    if hasattr(value, "model_dump_json"):
        return str(value.model_dump_json())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.dumps(value, default=argument_text)


def _described(name: str, parameter: Parameter) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "type": _PLAIN_TYPES.get(parameter.kind, "string")}
    # One token is one text: a list's default stays in the code, which uses it for an empty value.
    if not (parameter.required or parameter.default is None or parameter.repeated):
        entry["defaultValue"] = _default(parameter)
    return {**entry, "required": parameter.required}


def _default(parameter: Parameter) -> Any:
    value = parameter.default
    if parameter.kind in _PLAIN_TYPES and isinstance(value, bool | int | float):
        return value
    # The document must not depend on the system on which it is made.
    return value.as_posix() if isinstance(value, PurePath) else argument_text(value)
