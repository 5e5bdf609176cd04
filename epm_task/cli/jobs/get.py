"""`epm-task jobs get` prints one job document as the agent has it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from epm_task.admin.settings import AdminSettings
from epm_task.cli.connection import AsJson, connected


@connected
def get(
    settings: AdminSettings,
    job_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Print one job document; with --json in one line.

    Example: epm-task jobs get key-scanner > Jobs/key-scanner.json
    """
    with settings.client() as admin:
        document = admin.get_job(job_id)
    typer.echo(json.dumps(document, ensure_ascii=as_json, indent=None if as_json else 2))
