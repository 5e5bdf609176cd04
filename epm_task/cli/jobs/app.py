"""`epm-task jobs` is the group of verbs for an administrator of the agent's jobs."""

from __future__ import annotations

import typer

from epm_task.cli.jobs.apply import apply
from epm_task.cli.jobs.delete import delete
from epm_task.cli.jobs.get import get
from epm_task.cli.jobs.list_jobs import list_jobs
from epm_task.cli.jobs.reload import reload
from epm_task.cli.jobs.run import run
from epm_task.cli.jobs.trigger import trigger
from epm_task.cli.jobs.validate import validate

jobs = typer.Typer(
    help="List, apply, trigger, delete jobs of an agent, as its administrator.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
jobs.command("list")(list_jobs)
jobs.command()(get)
jobs.command()(apply)
jobs.command()(delete)
jobs.command()(validate)
jobs.command()(trigger)
jobs.command()(run)
jobs.command()(reload)
