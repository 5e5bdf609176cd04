"""A check report shows checks: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from epm_task.cli.failure import FAILED
from epm_task.cli.table import table
from epm_task.freeze.check import passed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.freeze.check import Check


def document(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the checks as a JSON object; its fields are frozen."""
    rows = [check._asdict() for check in checks]
    return {"passed": passed(list(checks)), "checks": rows}


def report(program: str, checks: Sequence[Check], *, as_json: bool) -> int:
    """Show the checks on stdout; return 0, or 1 when one has failed."""
    if as_json:
        typer.echo(json.dumps({"program": program, **document(checks)}))
    else:
        rows = [(check.name, check.state, check.detail) for check in checks]
        typer.echo(table(("check", "state", "what was seen"), rows))
    return 0 if passed(list(checks)) else FAILED
