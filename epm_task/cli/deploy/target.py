"""A target is the agent root to which is deployed, as the command line names it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from epm_task.admin.agent_root import PRESETS, find_root
from epm_task.admin.deploy.journal import SETTLE, read_journal
from epm_task.admin.deploy.workshop import Workshop
from epm_task.cli.failure import Failure
from epm_task.runtime.record_view import printable

Dist: TypeAlias = Annotated[
    Path, typer.Argument(metavar="[DIST]", help="The folder that holds Jobs, as freeze makes it.")
]
AgentRoot: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The agent's folder, else the first that exists of: "
        + ", ".join(PRESETS.get(sys.platform, ())),
    ),
]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Show the plan, and stop.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Keep: TypeAlias = Annotated[
    int, typer.Option(min=0, help="Versions that are kept beside the current one.")
]


def workshop_of(agent_root: Path | None) -> Workshop:
    """Return the workshop in the agent root.

    Raises:
        Failure: No root was given, and none stands where agents are installed.
    """
    root = find_root(agent_root)
    if root is None or not root.path.is_dir():
        raise Failure(
            f"there is no agent root {root.path}" if root else "no agent root was found",
            "give the agent's folder with --agent-root",
        )
    return Workshop(root)


def say(text: str) -> None:
    """Tell a step on stderr."""
    typer.echo(printable(text), err=True)


def pending(workshop: Workshop) -> str:
    """Return what an interrupted apply left to be done; empty when there is nothing.

    Raises:
        AdminError: The journal cannot be read.
    """
    journal = read_journal(workshop.journal)
    if journal is None:
        return ""
    what = "finishes" if journal.step == SETTLE else "undoes"
    return (
        f"an apply of {journal.name} is under way, or was interrupted in its step "
        f"{journal.step!r}; the next apply {what} it first"
    )


def confirmed(question: str, *, yes: bool) -> bool:
    """Return whether the user wants it.

    Raises:
        Failure: Nobody can be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Failure(
            "nobody can be asked whether this shall be done", "stdin is no terminal; give --yes"
        )
    return typer.confirm(question, err=True)
