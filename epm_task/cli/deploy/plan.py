"""`epm-task deploy plan` shows what a deployment would change, and changes nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from epm_task.admin.deploy.bundle import read_bundles
from epm_task.admin.deploy.plan import make_plans
from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.deploy.plan_view import plan_facts, plan_text
from epm_task.cli.deploy.target import AgentRoot, Dist, pending, say, workshop_of
from epm_task.cli.terminal import colorful

#: As Terraform has it, whose users wrote scripts for it.
_CHANGES = 2

_Detailed = Annotated[
    bool, typer.Option("--detailed-exitcode", help="Exit 2 when there is something to do.")
]


@connected
def plan(
    connection: Connection,
    dist: Dist = Path("dist"),
    *,
    agent_root: AgentRoot = None,
    detailed_exitcode: _Detailed = False,
    as_json: AsJson = False,
) -> int:
    """Show what a deployment would change: programs by SHA-256, jobs by field.

    Exit 0 when the plan could be made; with --detailed-exitcode 0 says that there is nothing to do,
    and 2 that there is.

    Example: epm-task deploy plan dist --agent-root ./agent
    """
    workshop = workshop_of(agent_root)
    bundles = read_bundles(dist)
    with connection.client() as admin:
        plans = make_plans(workshop, admin, bundles)
    left = pending(workshop)
    if as_json:
        typer.echo(json.dumps({**plan_facts(plans), "pending": left}))
    else:
        typer.echo(plan_text(plans, color=colorful(sys.stdout)))
        if left:
            say(f"note: {left}")
    return _CHANGES if detailed_exitcode and any(each.changes for each in plans) else 0
