"""Carrying out is what apply and rollback have in common: show the plans, ask, do them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import typer

from epm_task.admin.client import AdminClient
from epm_task.admin.deploy.deployment import Deployed, Deployment
from epm_task.admin.deploy.plan import Plan
from epm_task.admin.deploy.recovery import recover
from epm_task.admin.deploy.site import Site
from epm_task.admin.deploy.trial import Trial
from epm_task.admin.deploy.workshop import Workshop
from epm_task.cli.connection import Connection
from epm_task.cli.deploy.plan_view import plan_facts, plan_text
from epm_task.cli.deploy.target import confirmed, pending, say
from epm_task.cli.failure import FAILED
from epm_task.cli.terminal import colorful


class Wish(NamedTuple):
    """How plans are carried out, as the command line says it."""

    yes: bool
    dry_run: bool
    as_json: bool
    keep: int
    trial: Trial | None = None


def carry_out(
    connection: Connection,
    workshop: Workshop,
    wish: Wish,
    make: Callable[[AdminClient], Sequence[Plan]],
) -> int:
    """Put right what was interrupted, make the plans, show them, ask, and do them.

    Raises:
        AdminError: Something was not done; the message says what is in place now.
        Failure: Nobody can be asked.
    """
    with connection.client() as admin:
        if wish.dry_run:
            return _show_only(workshop, wish, make(admin))
        with workshop.held():
            site = Site(workshop, admin, say)
            recovered = recover(site)
            if recovered:
                say(recovered)
            plans = make(admin)
            if not wish.as_json:
                typer.echo(plan_text(plans, color=colorful(sys.stdout)))
            wanted = any(plan.changes for plan in plans)
            if wanted and not confirmed("Do this?", yes=wish.yes):
                say("nothing was changed")
                return FAILED
            deployment = Deployment(site, trial=wish.trial, keep=wish.keep)
            done = [deployment.apply(plan) for plan in plans]
    if wish.as_json:
        typer.echo(json.dumps(_facts(plans, done, recovered)))
    return 0


def _show_only(workshop: Workshop, wish: Wish, plans: Sequence[Plan]) -> int:
    if wish.as_json:
        typer.echo(json.dumps({**_facts(plans, [], ""), "dryRun": True}))
    else:
        typer.echo(plan_text(plans, color=colorful(sys.stdout)))
    if left := pending(workshop):
        say(f"note: {left}")
    say("dry run: nothing was changed")
    return 0


def _facts(plans: Sequence[Plan], done: Sequence[Deployed], recovered: str) -> dict[str, Any]:
    deployed = [
        {"name": each.name, "version": each.number, "before": each.before}
        for each in done
        if each.number is not None
    ]
    return {**plan_facts(plans), "deployed": deployed, "recovered": recovered, "dryRun": False}
