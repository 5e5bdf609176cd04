"""`epm-task deploy` is the group of verbs that bring programs and their jobs to an agent."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import typer

from epm_task.admin.client import AdminClient
from epm_task.admin.deploy.apply import Deployed, Trial, apply_plan, recover
from epm_task.admin.deploy.bundle import read_bundles
from epm_task.admin.deploy.deploy_root import DeployRoot, earlier_version
from epm_task.admin.deploy.journal import read_journal
from epm_task.admin.deploy.plan import Plan, make_plans
from epm_task.admin.deploy.program import read_installed
from epm_task.admin.deploy.target import Target
from epm_task.admin.deploy.versions import Version, VersionStore
from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.output import FAILED, Failure, colorful, table
from epm_task.cli.plan_view import plan_facts, plan_text
from epm_task.cli.policy import policy
from epm_task.contract.layout import PRESETS, find_root
from epm_task.contract.record import printable, view

_Trigger = Annotated[
    bool, typer.Option("--trigger", help="Run each job once; roll back unless it exits with 0.")
]
_Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the end of a run.")]


deploy = typer.Typer(
    help="Bring programs and their jobs to an agent, and back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

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
    root = deploy_root_of(agent_root)
    bundles = read_bundles(dist)
    trial = Trial(timeout, _show_record) if trigger else None
    options = Options(yes=yes, dry_run=dry_run, as_json=as_json, keep=keep, trial=trial)
    return carry_out(connection, root, options, lambda admin: make_plans(root, admin, bundles))


def _show_record(record: dict[str, Any]) -> None:
    typer.echo(view(record, color=colorful(sys.stderr)), err=True)


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
    root = deploy_root_of(agent_root)
    bundles = read_bundles(dist)
    with connection.client() as admin:
        plans = make_plans(root, admin, bundles)
    left = pending(root)
    if as_json:
        typer.echo(json.dumps({**plan_facts(plans), "pending": left}))
    else:
        typer.echo(plan_text(plans, color=colorful(sys.stdout)))
        if left:
            say(f"note: {left}")
    return _CHANGES if detailed_exitcode and any(each.changes for each in plans) else 0


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
    root = deploy_root_of(agent_root)

    def make(admin: AdminClient) -> list[Plan]:
        version = earlier_version(root.store_of(job_id), to)
        return make_plans(root, admin, [version.bundle])

    options = Options(yes=yes, dry_run=dry_run, as_json=as_json, keep=keep)
    return carry_out(connection, root, options, make)


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
    root = deploy_root_of(agent_root)
    rows = [
        _facts(root, store, store.get(number))
        for store in root.stores()
        for number in store.numbers()
    ]
    left = pending(root)
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


def _facts(root: DeployRoot, store: VersionStore, version: Version) -> dict[str, Any]:
    current = version.number == store.current
    return {
        "name": store.name,
        "number": version.number,
        "current": current,
        "previous": version.number == store.previous,
        "intact": _is_intact(root, version) if current else None,
        "made": version.made,
        "origin": version.origin,
        "digest": version.digest,
        "programs": sorted(version.bundle.programs),
        "jobs": sorted(version.bundle.jobs),
    }


def _is_intact(root: DeployRoot, version: Version) -> bool:
    return all(
        (present := read_installed(root.place(command))) and present.files == program.files
        for command, program in version.bundle.programs.items()
    )


def _state(row: dict[str, Any]) -> str:
    if row["current"]:
        return "current" if row["intact"] else "current, changed since"
    return "previous" if row["previous"] else ""


deploy.command()(plan)
deploy.command()(apply)
deploy.command()(rollback)
deploy.command()(status)
deploy.command()(policy)


def deploy_root_of(agent_root: Path | None) -> DeployRoot:
    """Return the deploy root in the agent root.

    Raises:
        Failure: No root was given, and none exists where agents are installed.
    """
    found = find_root(agent_root)
    if found is None or not found.path.is_dir():
        raise Failure(
            f"there is no agent root {found.path}" if found else "no agent root was found",
            "give the agent's folder with --agent-root",
        )
    return DeployRoot(found)


def say(text: str) -> None:
    """Tell a step on stderr."""
    typer.echo(printable(text), err=True)


def pending(root: DeployRoot) -> str:
    """Return what an interrupted apply left to be done; empty when there is nothing.

    Raises:
        AdminError: The journal cannot be read.
    """
    journal = read_journal(root.journal)
    if journal is None:
        return ""
    what = "finishes" if journal.accepted else "undoes"
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


class Options(NamedTuple):
    """How plans are carried out, as the command line says it."""

    yes: bool
    dry_run: bool
    as_json: bool
    keep: int
    trial: Trial | None = None


def carry_out(
    connection: Connection,
    root: DeployRoot,
    options: Options,
    make: Callable[[AdminClient], Sequence[Plan]],
) -> int:
    """Put right what was interrupted, make the plans, show them, ask, and do them.

    Raises:
        AdminError: Something was not done; the message says what is in place now.
        Failure: Nobody can be asked.
    """
    with connection.client() as admin:
        if options.dry_run:
            return _show_only(root, options, make(admin))
        with root.held():
            target = Target(root, admin, say)
            recovered = recover(target)
            if recovered:
                say(recovered)
            plans = make(admin)
            if not options.as_json:
                typer.echo(plan_text(plans, color=colorful(sys.stdout)))
            wanted = any(plan.changes for plan in plans)
            if wanted and not confirmed("Do this?", yes=options.yes):
                say("nothing was changed")
                return FAILED
            done = [
                apply_plan(target, plan, trial=options.trial, keep=options.keep) for plan in plans
            ]
    if options.as_json:
        typer.echo(json.dumps(_facts_of_carry_out(plans, done, recovered)))
    return 0


def _show_only(root: DeployRoot, options: Options, plans: Sequence[Plan]) -> int:
    if options.as_json:
        typer.echo(json.dumps({**_facts_of_carry_out(plans, [], ""), "dryRun": True}))
    else:
        typer.echo(plan_text(plans, color=colorful(sys.stdout)))
    if left := pending(root):
        say(f"note: {left}")
    say("dry run: nothing was changed")
    return 0


def _facts_of_carry_out(
    plans: Sequence[Plan], done: Sequence[Deployed], recovered: str
) -> dict[str, Any]:
    deployed = [
        {"name": each.name, "version": each.number, "before": each.before}
        for each in done
        if each.number is not None
    ]
    return {**plan_facts(plans), "deployed": deployed, "recovered": recovered, "dryRun": False}
