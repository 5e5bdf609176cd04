"""`epm-task jobs get` prints one job document as the agent has it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from epm_task.cli.connection import AsJson, Connection, connected


@connected
def get(
    connection: Connection,
    job_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Print one job document; with --json in one line.

    Example: epm-task jobs get key-scanner > Jobs/key-scanner.json
    """
    with connection.client() as admin:
        document = admin.get_job(job_id)
    typer.echo(json.dumps(document, ensure_ascii=as_json, indent=None if as_json else 2))
