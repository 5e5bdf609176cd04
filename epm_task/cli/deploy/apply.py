"""`epm-task deploy apply` puts programs and jobs in place, or leaves everything as it was."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from epm_task.admin.deploy.bundle import read_bundles
from epm_task.admin.deploy.plan import make_plans
from epm_task.admin.deploy.trial import Trial
from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.deploy.carry_out import Wish, carry_out
from epm_task.cli.deploy.target import AgentRoot, Dist, DryRun, Keep, Yes, workshop_of
from epm_task.cli.terminal import colorful
from epm_task.runtime.record_view import view

_Trigger = Annotated[
    bool, typer.Option("--trigger", help="Run each job once; roll back unless it exits with 0.")
]
_Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the end of a run.")]


@connected
def apply(  # noqa: PLR0913  # each is an option of the command line
    connection: Connection,
    dist: Dist = Path("dist"),
    *,
    agent_root: AgentRoot = None,
    trigger: _Trigger = False,
    timeout: _Timeout = 600.0,
    keep: Keep = 3,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Put the programs and jobs of DIST in place; when a step fails, all of it is undone.

    Verified copy, swap, the agent's verdict, registration, then one run with --trigger. What an
    interrupted apply left is finished or undone first.

    Example: epm-task deploy apply dist --agent-root ./agent --trigger --yes
    """
    workshop = workshop_of(agent_root)
    bundles = read_bundles(dist)
    trial = Trial(timeout, _show_record) if trigger else None
    wish = Wish(yes=yes, dry_run=dry_run, as_json=as_json, keep=keep, trial=trial)
    return carry_out(connection, workshop, wish, lambda admin: make_plans(workshop, admin, bundles))


def _show_record(record: dict[str, Any]) -> None:
    typer.echo(view(record, color=colorful(sys.stderr)), err=True)
