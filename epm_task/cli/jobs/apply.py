"""`epm-task jobs apply` makes the agent have exactly the jobs of some files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from epm_task.admin.apply import Applied, apply_job
from epm_task.admin.client import AdminClient
from epm_task.admin.errors import JobRefused
from epm_task.admin.live import live_verdict
from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.jobs.documents import read_documents
from epm_task.runtime.record_view import printable


@connected
def apply(
    connection: Connection,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", show_default=False)],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create or replace jobs; one that the agent has already is left alone.

    The agent is asked for its verdict on all of them first: when it refuses one, none is changed.

    Example: epm-task jobs apply Jobs/*.json
    """
    documents = read_documents(files)
    with connection.client() as admin:
        _require_valid(admin, documents)
        done = []
        for file, document in documents:
            applied = apply_job(admin, document, dry_run=dry_run)
            done.append((file, applied))
            if not as_json:
                typer.echo(_line(applied, dry_run=dry_run))
    if as_json:
        jobs = [
            {
                "file": str(file),
                "jobId": each.job_id,
                "change": each.change,
                "warnings": each.warnings,
            }
            for file, each in done
        ]
        typer.echo(json.dumps({"jobs": jobs, "dryRun": dry_run}))


def _require_valid(admin: AdminClient, documents: list[tuple[Path, dict[str, Any]]]) -> None:
    refused = []
    for file, document in documents:
        verdict = live_verdict(admin, document)
        refused += [f"{file}: {error}" for error in verdict.errors if not verdict.valid]
    if refused:
        raise JobRefused("these files, and nothing was changed", refused)


def _line(applied: Applied, *, dry_run: bool) -> str:
    change = f"would be {applied.change}" if dry_run else applied.change
    warnings = "".join(f"\n  warning: {printable(warning)}" for warning in applied.warnings)
    return f"{printable(applied.job_id)}: {change}{warnings}"
