"""Make the job document under which `Agent.run` starts one task.

It is made as an author would write it: the arguments hold tokens, and the values are parameters. So
what a value can do to the command line here is what it can do in the field.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from epm_task.contract.client_id import usable_job_id
from epm_task.contract.names import API_BASE_ARGUMENT, SERVICE
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.job.task_file import find_task, package_module
from epm_task.runtime.invocation import AT_ONCE
from epm_task.runtime.parameter import make_parameter
from epm_task.runtime.task import Task
from epm_task.runtime.value_text import text_of
from epm_task.simulator.jobs.command import python_program
from epm_task.simulator.options import UnknownName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


class TrialJob(NamedTuple):
    """A job document, and what its run needs beside it.

    The context holds the values of the parameters, *env* what the interpreter needs; *task* is None
    for a program that is not one of ours.
    """

    document: dict[str, Any]
    context: dict[str, object]
    env: dict[str, str]
    task: Task[..., object] | None


def trial_job(  # noqa: PLR0913 - keywords only, each with a default
    target: Task[..., Any] | str | Path,
    *,
    ca_file: Path,
    task_name: str | None = None,
    arguments: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    deny: Collection[str] = (),
) -> TrialJob:
    """Return the job that runs a task, a task file, or any other program; see `RunKeywords`.

    *deny* are topics that are left out of `mqttTopics`.

    Raises:
        TaskFileError: The file cannot be imported, or holds no such task.
        UnknownName: The task has no parameter of that name.
    """
    path = (target.file if isinstance(target, Task) else Path(target)).absolute()
    task = target if isinstance(target, Task) else find_task(path, task_name)
    program, env = python_program() if path.suffix == ".py" else (str(path), {})
    values = _Values()
    line = []
    if path.suffix == ".py":
        package = package_module(path, task)
        if package is not None:  # -P: the working folder is no place of modules
            line = ["-P", "-m", values.quoted("TaskModule", package.name)]
            places = (str(package.root), os.environ.get("PYTHONPATH"))
            env = {**env, "PYTHONPATH": os.pathsep.join(filter(None, places))}
        else:
            line = [values.quoted("TaskFile", str(path))]
    line += [API_BASE_ARGUMENT, f"--ca-file={values.quoted('CaFile', str(ca_file))}"]
    if task is not None:
        if len(task.siblings()) > 1:
            line.append(f"--task={task.name}")
        if task.declaration.spread_minutes and not any(w.startswith(AT_ONCE) for w in arguments):
            line.append(AT_ONCE)  # a person waits for it
    for option, token, text in _spelled(task, parameters or {}):
        line.append(f"{option}={values.quoted(token, text)}")
    line += [values.quoted("Argument", argument) for argument in arguments]
    document = _document(task, path, deny)
    document["parameters"] = [
        {"name": name, "type": "string", "required": True} for name in values.texts
    ]
    step = {
        "id": document["id"],
        "name": document["name"],
        "ExecutionType": SERVICE,
        "command": Path(program).stem,
        "executablePath": program,
        "arguments": " ".join(line),
        "scriptType": "Auto",
    }
    if task is not None and task.declaration.timeout_seconds:
        step["timeoutSeconds"] = task.declaration.timeout_seconds
    document["tasks"] = [step]
    return TrialJob(document, dict(values.texts), env, task)


class _Values:
    """The texts of a run, each below a token of its own: no text is ever part of a command line."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def quoted(self, token: str, text: str) -> str:
        """Give *text* a token, named like *token*, and return the token in quotes."""
        taken = {name.casefold() for name in self.texts}
        name, number = token, 1
        while name.casefold() in taken:
            number += 1
            name = f"{token}{number}"
        self.texts[name] = text
        return f'"{{{name}}}"'


def _document(task: Task[..., Any] | None, path: Path, deny: Collection[str]) -> dict[str, Any]:
    topics, subscriptions = [KEEPER_LOGGER], []
    job_id = usable_job_id(path.stem, otherwise="trial")
    name = path.stem
    if task is not None:
        declaration = task.declaration
        job_id, name = declaration.job_id, declaration.job_name
        topics += declaration.own_publications
        subscriptions = [topic.name for topic in declaration.subscribes]
    allowed = [topic for topic in topics if topic not in deny]
    mqtt = {"allowedPublications": allowed, "allowedSubscriptions": subscriptions}
    return {"id": job_id, "name": name, "enabled": True, "mqttTopics": mqtt}


def _spelled(
    task: Task[..., Any] | None, given: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Yield option, token and text of each value; a list gives its option several times."""
    known = {parameter.name: parameter for parameter in task.parameters} if task else {}
    for name, value in given.items():
        parameter = known.get(name) or make_parameter(name, type(value), None)
        if task is not None and name not in known:
            raise UnknownName(f"the task {task.name}", "parameter", name, known, "correct the name")
        repeated = isinstance(value, list | tuple) and (task is None or parameter.repeated)
        for one in value if repeated else [value]:
            if one is not None:
                yield parameter.option, parameter.token, text_of(one, parameter.kind)
