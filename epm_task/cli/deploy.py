"""`epm-task deploy`: bring programs and their jobs to an agent, and back."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from epm_task.admin.client import AdminClient
from epm_task.admin.deploy.apply import Deployed, Target, Trial, apply_plan, recover
from epm_task.admin.deploy.bundle import read_bundles
from epm_task.admin.deploy.deploy_root import DeployRoot
from epm_task.admin.deploy.journal import read_journal
from epm_task.admin.deploy.plan import Action, Change, Part, Plan, count, make_plans
from epm_task.admin.deploy.program import read_installed
from epm_task.admin.deploy.versions import Version, VersionStore
from epm_task.cli.options import (
    AgentRoot,
    AsJson,
    Connection,
    DryRun,
    WaitSeconds,
    Yes,
    command_app,
    connected,
)
from epm_task.cli.output import (
    FAILED,
    Failure,
    colorful,
    confirmed,
    say,
    show_json,
    table,
)
from epm_task.cli.steps import Steps
from epm_task.contract.layout import find_root
from epm_task.contract.record import printable

deploy: typer.Typer = command_app()

#: As Terraform has it, whose users wrote scripts for it.
_CHANGES = 2
#: Enough for people to tell two digests apart; programs get all 64.
_DIGEST_DIGITS = 12
_DIGEST: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")

_Dist = Annotated[
    Path, typer.Argument(metavar="[DIST]", help="The folder that holds Jobs, as freeze makes it.")
]
_Keep = Annotated[int, typer.Option(min=0, help="Versions that are kept beside the current one.")]
_Trigger = Annotated[
    bool, typer.Option("--trigger", help="Run each job once; roll back unless it exits with 0.")
]
_Detailed = Annotated[
    bool, typer.Option("--detailed-exitcode", help="Exit 2 when there is something to do.")
]
_JobId = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="A job; may be left out when there is one set of jobs."),
]
_To = Annotated[int | None, typer.Option(min=1, metavar="N", help="That version, of `status`.")]


@deploy.command()
@connected
def plan(
    connection: Connection,
    dist: _Dist = Path("dist"),
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
    root = _deploy_root_of(agent_root)
    bundles = read_bundles(dist)
    with connection.client() as admin:
        plans = make_plans(root, admin, bundles)
    left = _pending(root)
    if as_json:
        show_json({**plan_facts(plans), "pending": left})
    else:
        _show_plans(plans)
        _note(left)
    return _CHANGES if detailed_exitcode and any(each.changes for each in plans) else 0


@deploy.command()
@connected
def apply(  # noqa: PLR0913  # each is an option of the command line
    connection: Connection,
    dist: _Dist = Path("dist"),
    *,
    agent_root: AgentRoot = None,
    trigger: _Trigger = False,
    timeout: WaitSeconds = 600.0,
    keep: _Keep = 3,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Put the programs and jobs of DIST in place; when a step fails, all of it is undone.

    Verified copy, swap, the agent's verdict, registration, then one run with --trigger. What an
    interrupted apply left is finished or undone first.

    Example: epm-task deploy apply dist --agent-root ./agent --trigger --yes
    """
    root = _deploy_root_of(agent_root)
    bundles = read_bundles(dist)
    return _carry_out(
        connection,
        root,
        lambda admin: make_plans(root, admin, bundles),
        trial_seconds=timeout if trigger else None,
        keep=keep,
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
    )


@deploy.command()
@connected
def rollback(  # noqa: PLR0913  # each is an option of the command line
    connection: Connection,
    job_id: _JobId = None,
    *,
    to: _To = None,
    agent_root: AgentRoot = None,
    keep: _Keep = 3,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Put the version before the current one in place, or the one that --to names.

    Jobs that share a program go together. A second rollback goes forward again.

    Example: epm-task deploy rollback key-scanner --agent-root ./agent --yes
    """
    root = _deploy_root_of(agent_root)

    def make(admin: AdminClient) -> list[Plan]:
        """Plan the way back to the earlier version."""
        return make_plans(root, admin, [root.store_of(job_id).earlier(to).bundle])

    return _carry_out(connection, root, make, keep=keep, yes=yes, dry_run=dry_run, as_json=as_json)


@deploy.command()
def status(*, agent_root: AgentRoot = None, as_json: AsJson = False) -> None:
    """List the versions: which one is current, when it was made, its SHA-256.

    The digest covers programs and jobs. The agent is not asked: only programs are looked at.

    Example: epm-task deploy status --agent-root ./agent
    """
    root = _deploy_root_of(agent_root)
    rows = [
        _facts(root, store, store.get(number))
        for store in root.stores()
        for number in store.numbers()
    ]
    left = _pending(root)
    if as_json:
        show_json({"versions": rows, "pending": left})
        return
    _note(left)
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


def _carry_out(  # noqa: PLR0913  # each is an option of the command line
    connection: Connection,
    root: DeployRoot,
    make: Callable[[AdminClient], Sequence[Plan]],
    *,
    keep: int,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    trial_seconds: float | None = None,
) -> int:
    """Put right what was interrupted, make the plans, show them, ask, and do them."""
    with connection.client() as admin:
        if dry_run:
            return _show_only(root, make(admin), as_json=as_json)
        with root.held(), Steps() as steps:
            target = Target(root, admin, steps.say, steps.progress)
            trial = None if trial_seconds is None else Trial(trial_seconds, steps.record)
            recovered = recover(target)
            if recovered:
                steps.say(recovered)
            plans = make(admin)
            if not as_json:
                _show_plans(plans)
            if any(plan.changes for plan in plans) and not confirmed("Do this?", yes=yes):
                say("nothing was changed")
                return FAILED
            done = [apply_plan(target, plan, trial=trial, keep=keep) for plan in plans]
    if as_json:
        show_json(_facts_of_apply(plans, done, recovered, dry_run=False))
    return 0


def _show_plans(plans: Sequence[Plan]) -> None:
    typer.echo(plan_text(plans, color=colorful(sys.stdout)))


def _show_only(root: DeployRoot, plans: Sequence[Plan], *, as_json: bool) -> int:
    if as_json:
        show_json(_facts_of_apply(plans, [], "", dry_run=True))
    else:
        _show_plans(plans)
    _note(_pending(root))
    say("dry run: nothing was changed")
    return 0


def _facts_of_apply(
    plans: Sequence[Plan], done: Sequence[Deployed], recovered: str, *, dry_run: bool
) -> dict[str, Any]:
    deployed = [
        {"name": each.name, "version": each.number, "before": each.before}
        for each in done
        if each.number is not None
    ]
    return {**plan_facts(plans), "deployed": deployed, "recovered": recovered, "dryRun": dry_run}


def _deploy_root_of(agent_root: Path | None) -> DeployRoot:
    found = find_root(agent_root)
    if found is None or not found.path.is_dir():
        raise Failure(
            f"the agent root {found.path} does not exist" if found else "no agent root was found",
            fix="give the agent's folder with --agent-root",
        )
    root = DeployRoot(found)
    root.check()
    return root


def _pending(root: DeployRoot) -> str:
    """Return what an interrupted apply left to be done; empty when there is nothing."""
    journal = read_journal(root.journal)
    if journal is None:
        return ""
    verb = "finishes" if journal.accepted else "undoes"
    return (
        f"an apply of {journal.name} is under way, or was interrupted in its step "
        f"{journal.step!r}; the next apply {verb} it first"
    )


def _note(pending: str) -> None:
    if pending:
        say(f"note: {pending}")


_MARKS: Final[dict[Action, str]] = {"add": "+", "change": "~", "remove": "-"}
#: A one-dir program has hundreds of files, and people read a screen.
_MOST_FILES: Final = 20
_COLORS: Final[dict[Action, str]] = {"add": "32", "change": "33", "remove": "31"}


def plan_text(plans: Sequence[Plan], *, color: bool = False) -> str:
    """Return the plans as lines, and the numbers in the last one."""
    lines = [
        line for plan in plans for change in plan.changes for line in _lines(change, color=color)
    ]
    return "\n".join([*lines, _last_line(plans)])


def plan_facts(plans: Sequence[Plan]) -> dict[str, Any]:
    """Return the plans as plain data."""
    changes = [
        {
            "action": change.action,
            "kind": change.kind,
            "name": change.name,
            "bundle": plan.bundle.name,
            "parts": [part._asdict() for part in change.parts],
        }
        for plan in plans
        for change in plan.changes
    ]
    return {"changes": changes, "count": count(plans)}


def part_lines(parts: Sequence[Part], *, intro: str = ": ", color: bool = False) -> Iterator[str]:
    """Yield the differences of two documents as lines; *intro* is written before the values."""
    for part in parts:
        yield _line(part.action, part.place or "/", _values(part, intro), color=color)


def _last_line(plans: Sequence[Plan]) -> str:
    numbers = count(plans)
    head = "Plan" if any(numbers.values()) else "Nothing to do"
    return f"{head}: " + ", ".join(f"{numbers[action]} to {action}" for action in _MARKS) + "."


def _lines(change: Change, *, color: bool) -> list[str]:
    head = _line(change.action, f"{change.kind} {change.name}", "", color=color)
    if change.action == "remove":
        return [head]
    shown = _shown(change)
    intro = "  sha256 " if change.kind == "program" else ": "
    parts = list(part_lines(shown, intro=intro, color=color))
    if more := len(change.parts) - len(shown):
        parts.append(f"… and {more} more files; --json lists them all")
    return [head, *(f"    {line}" for line in parts)]


def _shown(change: Change) -> Sequence[Part]:
    if change.kind != "program" or len(change.parts) <= _MOST_FILES:
        return change.parts
    # The program's own files before those of the libraries below it.
    return sorted(change.parts, key=lambda part: "/" in part.place)[:_MOST_FILES]


def _line(action: Action, name: str, values: str, *, color: bool) -> str:
    mark = _MARKS[action]
    if color:
        mark = f"\x1b[{_COLORS[action]}m{mark}\x1b[0m"
    return f"{mark} {printable(name)}{printable(values)}"


def _values(part: Part, intro: str) -> str:
    """Return `: 60 -> 120` for a field, `  sha256 1f2e -> 9a8b` for a file."""
    values = [value for value in (part.before, part.after) if value]
    return intro + _DIGEST.sub(r"\1", " -> ".join(values)) if values else ""
