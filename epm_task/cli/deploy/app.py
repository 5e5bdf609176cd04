"""`epm-task deploy` is the group of verbs that bring programs and their jobs to an agent."""

from __future__ import annotations

import typer

from epm_task.cli.deploy.apply import apply
from epm_task.cli.deploy.plan import plan
from epm_task.cli.deploy.policy import policy
from epm_task.cli.deploy.rollback import rollback
from epm_task.cli.deploy.status import status

deploy = typer.Typer(
    help="Bring programs and their jobs to an agent, and back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
deploy.command()(plan)
deploy.command()(apply)
deploy.command()(rollback)
deploy.command()(status)
deploy.command()(policy)
