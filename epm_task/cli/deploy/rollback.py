"""`epm-task deploy rollback` puts an earlier version in place again."""

from __future__ import annotations

from typing import Annotated

import typer

from epm_task.admin.client import AdminClient
from epm_task.admin.deploy.earlier import earlier_version, shelf_of
from epm_task.admin.deploy.plan import Plan, make_plans
from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.deploy.carry_out import Wish, carry_out
from epm_task.cli.deploy.target import AgentRoot, DryRun, Keep, Yes, workshop_of

_JobId = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="A job; may be left out when there is one set of jobs."),
]
_To = Annotated[int | None, typer.Option(min=1, metavar="N", help="That version, of `status`.")]


@connected
def rollback(  # noqa: PLR0913  # each is an option of the command line
    connection: Connection,
    job_id: _JobId = None,
    *,
    to: _To = None,
    agent_root: AgentRoot = None,
    keep: Keep = 3,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Put the version before the current one in place, or the one that --to names.

    Jobs that share a program go together. A second rollback goes forward again.

    Example: epm-task deploy rollback key-scanner --agent-root ./agent --yes
    """
    workshop = workshop_of(agent_root)

    def make(admin: AdminClient) -> list[Plan]:
        version = earlier_version(shelf_of(workshop, job_id), to)
        return make_plans(workshop, admin, [version.bundle])

    wish = Wish(yes=yes, dry_run=dry_run, as_json=as_json, keep=keep)
    return carry_out(connection, workshop, wish, make)
