"""`epm-task jobs reload` lets the agent read its folder `Jobs/` again."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.failure import FAILED
from epm_task.runtime.record_view import printable


@connected
def reload(
    connection: Connection,
    *,
    as_json: AsJson = False,
) -> int:
    """Let the agent read its folder Jobs/ again; exit 1 when it could not use a file.

    Example: epm-task jobs reload
    """
    with connection.client() as admin:
        reloaded = admin.reload_jobs()
    if as_json:
        typer.echo(json.dumps(asdict(reloaded)))
    else:
        typer.echo(printable(reloaded.message) or "reloaded")
        for error in reloaded.errors:
            typer.echo(f"  error: {printable(error)}")
    return FAILED if reloaded.errors else 0
