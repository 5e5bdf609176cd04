"""`epm-task jobs run` starts a run without an event context."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.runtime.record_view import printable


@connected
def run(
    connection: Connection,
    job_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Start a run and do not wait; `trigger` can pass values, and can wait.

    Example: epm-task jobs run key-scanner
    """
    with connection.client() as admin:
        started = admin.run_job(job_id)
    if as_json:
        typer.echo(json.dumps(asdict(started)))
    else:
        typer.echo(f"{job_id}: started {printable(started.run_id)}".rstrip())
