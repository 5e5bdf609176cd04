"""`epm-task upgrade` brings a project to a newer version of its template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from epm_task.cli.answers import read_answers
from epm_task.cli.failure import FAILED, Failure
from epm_task.cli.new import Answers, Templates
from epm_task.scaffold.scaffold_error import ScaffoldError
from epm_task.scaffold.shelf import Shelf
from epm_task.scaffold.upgrade import Upgraded
from epm_task.scaffold.upgrade import upgrade as carry_out


def upgrade(
    project: Annotated[Path, typer.Argument(help="The folder of the project.")] = Path(),
    *,
    answer: Answers = None,
    templates: Templates = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> int:
    """Merge what is new in the template into a project; nothing is committed.

    Exit code 1 says that there are conflicts, which git shows as those of any merge. To take it
    all back: git reset --hard.

    Example: epm-task upgrade --answer schedule=daily
    """
    shelf = Shelf(templates)
    try:
        upgraded = carry_out(project, shelf, read_answers(shelf.current, answer or ()))
    except ScaffoldError as error:
        raise Failure(str(error), error.fix) from error
    if as_json:
        typer.echo(json.dumps(upgraded._asdict()))
    else:
        _show(upgraded)
    return FAILED if upgraded.conflicts else 0


def _show(upgraded: Upgraded) -> None:
    before, after, changed, conflicts = upgraded
    if not changed and not conflicts:
        typer.echo(f"nothing to do: the project is at version {after} of its template")
        return
    for letter, path in changed:
        typer.echo(f"{letter} {path}")
    for path in conflicts:
        typer.echo(f"C {path}: conflict")
    step = "resolve the conflicts, `git add` them, commit" if conflicts else "look, test, commit"
    typer.echo(f"template {before} -> {after}; next: {step}")
