"""`epm-task jobs list` shows the jobs of the agent."""

from __future__ import annotations

import json
from typing import Any

import typer

from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.table import table


@connected
def list_jobs(
    connection: Connection,
    *,
    as_json: AsJson = False,
) -> None:
    """List the agent's jobs.

    Example: epm-task jobs list --cert admin.pem --key admin.key --cacert ca.pem
    """
    with connection.client() as admin:
        found = admin.list_jobs()
    if as_json:
        typer.echo(json.dumps({"jobs": found.jobs, "count": found.count}))
        return
    rows = [
        (job.get("id", ""), _enabled(job), _starts(job), job.get("name", "")) for job in found.jobs
    ]
    typer.echo(table(("ID", "ENABLED", "STARTS", "NAME"), rows))


def _enabled(job: dict[str, Any]) -> str:
    return "no" if job.get("enabled", True) is False else "yes"


def _starts(job: dict[str, Any]) -> str:
    """Return what starts the job, in a few words."""
    schedule = job.get("schedule")
    starts = []
    if isinstance(schedule, dict):
        minutes = schedule.get("intervalMinutes")
        starts += [f"every {minutes} min"] if minutes else []
        starts += [str(schedule[key]) for key in ("cronExpression", "runAt") if schedule.get(key)]
        starts = starts or ["calendar"]
    for event in job.get("events") or ():
        starts.append(str(event.get("eventType", "") if isinstance(event, dict) else event))
    return ", ".join(starts) or "by hand"
