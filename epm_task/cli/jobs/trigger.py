"""`epm-task jobs trigger` starts a run with an event context, and can wait for its end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from epm_task.admin.answers import Started
from epm_task.admin.run_history import EndedRun
from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.failure import FAILED, Failure
from epm_task.cli.jobs.run_sources import make_follower
from epm_task.cli.terminal import colorful
from epm_task.exit_code import describe
from epm_task.runtime.record_view import printable, view

_Record = dict[str, Any]


_JobId = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
_Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value…]", help="The event context.", show_default=False),
]
_Wait = Annotated[bool, typer.Option("--wait", help="Follow the run; exit with its exit code.")]
_AgentRoot = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="The agent's folder, for its log and run history."),
]
_Log = Annotated[Path | None, typer.Option(metavar="FILE", help="Another KeeperLogger.log.")]
_Broker = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Read the records by an admin subscription."),
]
_Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the end of the run.")]


@connected
def trigger(  # noqa: PLR0913  # each is an option of the command line
    connection: Connection,
    job_id: _JobId,
    values: _Values = None,
    *,
    wait: _Wait = False,
    agent_root: _AgentRoot = None,
    log: _Log = None,
    broker: _Broker = None,
    timeout: _Timeout = 3600.0,
    as_json: AsJson = False,
) -> int:
    """Start a run; with --wait show its records on stderr and exit with its exit code.

    The end of a run stands in the run history below --agent-root. Without it only records can be
    followed, until --timeout or Ctrl-C, and the exit code is 1: the end was not seen.

    Example: epm-task jobs trigger key-scanner Root=/etc --wait --agent-root ./agent
    """
    context = dict(_assignment(value) for value in values or ())
    with connection.client() as admin:
        if not wait:
            _show_start(admin.trigger_job(job_id, context), as_json=as_json)
            return 0
        records: list[_Record] = []
        follower = make_follower(
            job_id,
            connection.settings().credential,
            agent_root=agent_root,
            log=log,
            broker=broker,
            show=records.append if as_json else _show_record(),
        )
        try:
            started = admin.trigger_job(job_id, context)
            if not as_json:
                _say(f"{job_id}: started {printable(started.run_id)}".rstrip())
            ended = follower.follow(job_id, started.run_id, timeout)
        finally:
            follower.close()
    if as_json:
        _show_json(started, ended, records)
    else:
        _show_end(ended, timeout)
    return FAILED if ended is None else ended.shell_exit_code


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Failure(f"{text!r} is no part of an event context", "write key=value")
    return name, value


def _show_start(started: Started, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(started)))
    else:
        typer.echo(f"{started.job_id}: started {printable(started.run_id)}".rstrip())


def _show_record() -> Callable[[_Record], None]:
    color = colorful(sys.stderr)
    return lambda record: _say(view(record, color=color))


def _show_json(started: Started, ended: EndedRun | None, records: list[_Record]) -> None:
    end = asdict(ended) if ended is not None else None
    typer.echo(json.dumps({**asdict(started), "end": end, "records": records}))


def _show_end(ended: EndedRun | None, timeout: float) -> None:
    if ended is None:
        _say(f"the end of the run was not seen in {timeout:g} s; it may still go on")
        return
    if ended.result is not None:
        typer.echo(json.dumps(ended.result))
    for denial in ended.denials:
        _say(f"denied, unseen by the task: {printable(denial)}")
    if why := ended.skipped or ended.problem:
        _say(printable(why))
    late = ", ended by the agent at its time-out" if ended.timed_out else ""
    code = f"exit {ended.exit_code} ({describe(ended.exit_code)})"
    _say(f"{ended.seconds:.2f} s; {code}{late}")


def _say(text: str) -> None:
    typer.echo(text, err=True)
