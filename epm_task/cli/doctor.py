"""`epm-task doctor` and `exit-codes`: find out why a task does not run, and how one ended."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Final

import typer

from epm_task.admin.doctor import examine
from epm_task.admin.doctor.finding import Finding, Setup, State
from epm_task.cli.inputs import broker_address, job_of
from epm_task.cli.options import AgentRoot, AsJson, Connection, connected
from epm_task.cli.output import FAILED, Failure, colorful, counted, show_json
from epm_task.contract.layout import find_root
from epm_task.contract.record import printable
from epm_task.errors import sentence
from epm_task.exit_code import AUTHOR_CODES, ExitCode
from epm_task.job.job import Job

_AUTHOR_MEANING: Final = "the task's author decides: TaskFailed(…, exit_code=N)"
_COLORS: Final = {State.OK: "32", State.WARNING: "33", State.PROBLEM: "1;31", State.UNKNOWN: "36"}
#: No problem was seen, and not everything was seen.
_UNSEEN: Final = 3
_WIDTH: Final = max(map(len, State))


@connected
def doctor(  # noqa: PLR0913  # each is an option of the command line
    connection: Connection,
    target: Annotated[
        str | None,
        typer.Argument(metavar="[FILE[:JOB]]", help="A file with a job.", show_default=False),
    ] = None,
    *,
    job: Annotated[str | None, typer.Option(metavar="ID", help="A job of the agent.")] = None,
    agent_root: AgentRoot = None,
    broker: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where the agent's broker is.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Find out why a task does not run: the agent, the tiers, the job, its binary, its last run.

    One line for each check, with what to do; nothing is changed. Exit 1 when there is a problem, 3
    when there is none and something could not be seen, 0 when all was seen.

    Example: epm-task doctor examples/key_scanner.py --agent-root ./agent
    """
    if target and job:
        raise Failure("a file and --job were given", fix="give one: the file names its job")
    declared = job_of([target], admin=True) if target else None
    setup = Setup(
        connection.settings(),
        root=find_root(agent_root),
        job_id=declared.id if declared else job,
        built=declared.document() if declared else None,
        plugins=_plugins(declared) if declared else (),
        broker=broker_address(broker) if broker else None,
    )
    found = [*_shown(examine(setup), quiet=as_json)]
    counts = {state.value: sum(each.state is state for each in found) for state in State}
    if as_json:
        show_json({"findings": [asdict(finding) for finding in found], "counts": counts})
    else:
        problems, warnings = (
            counted(counts["problem"], "problem"),
            counted(counts["warning"], "warning"),
        )
        typer.echo(f"{problems}, {warnings}, {counts['unknown']} unknown, {counts['ok']} ok")
    return FAILED if counts["problem"] else _UNSEEN if counts["unknown"] else 0


def _plugins(job: Job) -> tuple[str, ...]:
    kinds = [task.handler.settings_type for task in job.tasks]
    return tuple(dict.fromkeys(kind.plugin_id for kind in kinds if kind is not None))


def _shown(findings: Iterable[Finding], *, quiet: bool) -> Iterable[Finding]:
    """Pass findings on, each on a line of its own as soon as it is there."""
    color = colorful(sys.stdout)
    for finding in findings:
        if not quiet:
            typer.echo(_line(finding, color=color))
        yield finding


def _line(finding: Finding, *, color: bool) -> str:
    state = f"{finding.state:<{_WIDTH}}"
    if color:
        state = f"\x1b[{_COLORS[finding.state]}m{state}\x1b[0m"
    seen = sentence(finding.what, finding.why, finding.fix)
    lines = "\n    ".join(map(printable, seen.splitlines()))
    return f"{state}  {finding.check}: {lines}"


def exit_codes(*, as_json: AsJson = False) -> None:
    """List the exit codes of a task, with their names and meanings.

    Example: epm-task exit-codes --json
    """
    if as_json:
        rows = [{"code": int(c), "name": c.name, "meaning": c.meaning} for c in ExitCode]
        author = {"first": AUTHOR_CODES[0], "last": AUTHOR_CODES[-1], "meaning": _AUTHOR_MEANING}
        show_json({"exit_codes": rows, "author": author})
        return
    for code in ExitCode:
        typer.echo(f"{code.value:>4}  {code.name:<12} {code.meaning}")
    typer.echo(f"{AUTHOR_CODES[0]}-{AUTHOR_CODES[-1]}  {'':<12} {_AUTHOR_MEANING}")
