"""`epm-task deploy status` lists the versions that are kept, and says which one is in place."""

from __future__ import annotations

import json
from typing import Any

import typer

from epm_task.admin.deploy.program import read_installed
from epm_task.admin.deploy.versions import Shelf, Version
from epm_task.admin.deploy.workshop import Workshop
from epm_task.cli.connection import AsJson
from epm_task.cli.deploy.target import AgentRoot, pending, say, workshop_of
from epm_task.cli.table import table

_DIGEST_DIGITS = 12


def status(
    *,
    agent_root: AgentRoot = None,
    as_json: AsJson = False,
) -> None:
    """List the versions: which one is current, when it was made, its SHA-256.

    The digest covers programs and jobs. The agent is not asked: only programs are looked at.

    Example: epm-task deploy status --agent-root ./agent
    """
    workshop = workshop_of(agent_root)
    rows = [
        _facts(workshop, shelf, shelf.get(number))
        for shelf in workshop.shelves()
        for number in shelf.numbers()
    ]
    left = pending(workshop)
    if as_json:
        typer.echo(json.dumps({"versions": rows, "pending": left}))
        return
    if left:
        say(f"note: {left}")
    cells = [
        (
            row["name"],
            row["number"],
            _state(row),
            row["made"],
            row["digest"][:_DIGEST_DIGITS],
            row["origin"],
            ", ".join([*row["programs"], *row["jobs"]]),
        )
        for row in rows
    ]
    heads = ("NAME", "VERSION", "STATE", "MADE", "SHA-256", "ORIGIN", "PROGRAMS AND JOBS")
    typer.echo(table(heads, cells) if rows else "nothing was deployed yet")


def _facts(workshop: Workshop, shelf: Shelf, version: Version) -> dict[str, Any]:
    current = version.number == shelf.current
    return {
        "name": shelf.name,
        "number": version.number,
        "current": current,
        "previous": version.number == shelf.previous,
        "intact": _is_intact(workshop, version) if current else None,
        "made": version.made,
        "origin": version.origin,
        "digest": version.digest,
        "programs": sorted(version.bundle.programs),
        "jobs": sorted(version.bundle.jobs),
    }


def _is_intact(workshop: Workshop, version: Version) -> bool:
    return all(
        (present := read_installed(workshop.place(command))) and present.files == program.files
        for command, program in version.bundle.programs.items()
    )


def _state(row: dict[str, Any]) -> str:
    if row["current"]:
        return "current" if row["intact"] else "current, changed since"
    return "previous" if row["previous"] else ""
