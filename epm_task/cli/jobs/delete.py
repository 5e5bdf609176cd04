"""`epm-task jobs delete` deletes jobs, after asking."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.failure import Failure


@connected
def delete(
    connection: Connection,
    job_ids: Annotated[list[str], typer.Argument(metavar="ID…", show_default=False)],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Delete jobs; their binaries stay.

    Example: epm-task jobs delete key-scanner --yes
    """
    with connection.client() as admin:
        for job_id in job_ids:
            admin.get_job(job_id)  # an id that is wrong stops all, before anything is deleted
        if not yes and not _confirmed(job_ids, admin.url):
            typer.echo("nothing was deleted", err=True)
            return 1
        for job_id in job_ids:
            admin.delete_job(job_id)
            if not as_json:
                typer.echo(f"{job_id}: deleted")
    if as_json:
        typer.echo(json.dumps({"deleted": job_ids}))
    return 0


def _confirmed(job_ids: list[str], url: str) -> bool:
    if not sys.stdin.isatty():
        raise Failure(
            f"nobody can be asked whether {', '.join(job_ids)} shall be deleted",
            "stdin is no terminal; give --yes",
        )
    return typer.confirm(f"Delete {', '.join(job_ids)} at {url}?", err=True)
