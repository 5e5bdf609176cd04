"""`epm-task exit-codes` lists what the exit codes of a task mean."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from epm_task.exit_code import AUTHOR_CODES, ExitCode

_AUTHOR_MEANING = "the task's author decides: TaskFailed(…, exit_code=N)"


def exit_codes(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the exit codes of a task, with their names and meanings.

    Example: epm-task exit-codes --json
    """
    if as_json:
        rows = [{"code": int(c), "name": c.name, "meaning": c.meaning} for c in ExitCode]
        author = {"first": AUTHOR_CODES[0], "last": AUTHOR_CODES[-1], "meaning": _AUTHOR_MEANING}
        typer.echo(json.dumps({"exit_codes": rows, "author": author}))
        return
    for code in ExitCode:
        typer.echo(f"{code.value:>4}  {code.name:<12} {code.meaning}")
    typer.echo(f"{AUTHOR_CODES[0]}-{AUTHOR_CODES[-1]}  {'':<12} {_AUTHOR_MEANING}")
