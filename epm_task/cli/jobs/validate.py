"""`epm-task jobs validate` asks the agent for its verdict, and changes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from epm_task.admin.answers import Verdict
from epm_task.admin.live import live_verdicts
from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.failure import FAILED
from epm_task.cli.jobs.documents import read_documents
from epm_task.runtime.record_view import printable


@connected
def validate(
    connection: Connection,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", show_default=False)],
    *,
    as_json: AsJson = False,
) -> int:
    """Show the agent's own verdict on job files; exit 1 when it refuses one.

    Example: epm-task jobs validate Jobs/key-scanner.json
    """
    documents = read_documents(files)
    with connection.client() as admin:
        verdicts = live_verdicts(admin, [document for _, document in documents])
    if as_json:
        rows = zip(files, verdicts, strict=True)
        listed = [{"file": str(file), **asdict(verdict)} for file, verdict in rows]
        typer.echo(json.dumps({"verdicts": listed}))
    else:
        for file, verdict in zip(files, verdicts, strict=True):
            typer.echo(_lines(file, verdict))
    return 0 if all(verdict.valid for verdict in verdicts) else FAILED


def _lines(file: Path, verdict: Verdict) -> str:
    lines = [f"{file}: {'valid' if verdict.valid else 'refused'}"]
    lines += [f"  error: {printable(error)}" for error in verdict.errors]
    lines += [f"  warning: {printable(warning)}" for warning in verdict.warnings]
    return "\n".join(lines)
