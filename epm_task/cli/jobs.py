"""`epm-task jobs`: list, change and start the jobs of an agent, as its administrator."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epm_task.admin.answers import Started
from epm_task.admin.client import AdminClient, apply_job, live_verdict
from epm_task.admin.errors import JobRefused
from epm_task.admin.follow import BrokerRecords, Follower, LogRecords, RecordSource
from epm_task.cli.inputs import broker_address, read_documents
from epm_task.cli.options import (
    AsJson,
    Connection,
    DryRun,
    WaitSeconds,
    Yes,
    command_app,
    connected,
)
from epm_task.cli.output import FAILED, Failure, confirmed, say, show_json, table
from epm_task.cli.steps import Steps
from epm_task.contract.layout import AgentRoot
from epm_task.contract.record import printable
from epm_task.contract.run_history import EndedRun
from epm_task.contract.tokens import by_hand, parameter_meant, unused_values

if TYPE_CHECKING:
    from epm_task.admin.credential import Credential

jobs: typer.Typer = command_app()

_JobId = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
_JobFiles = Annotated[list[Path], typer.Argument(metavar="FILE…", show_default=False)]


@jobs.command("list")
@connected
def list_jobs(connection: Connection, *, as_json: AsJson = False) -> None:
    """List the agent's jobs.

    Example: epm-task jobs list --cert admin.pem --key admin.key --cacert ca.pem
    """
    with connection.client() as admin:
        found = admin.list_jobs()
    if as_json:
        show_json({"jobs": found.jobs, "count": found.count})
        return
    rows = []
    for job in found.jobs:
        enabled = "no" if job.get("enabled", True) is False else "yes"
        rows.append((job.get("id", ""), enabled, _starts(job), job.get("name", "")))
    typer.echo(table(("ID", "ENABLED", "STARTS", "NAME"), rows))


def _starts(job: dict[str, Any]) -> str:
    """Return what starts the job, in a few words."""
    schedule = job.get("schedule")
    starts = []
    if isinstance(schedule, dict):
        minutes = schedule.get("intervalMinutes")
        starts += [f"every {minutes} min"] if minutes else []
        starts += [str(schedule[key]) for key in ("cronExpression", "runAt") if schedule.get(key)]
        starts = starts or ["calendar"]
    events = job.get("events")
    for event in events if isinstance(events, list) else ():
        starts.append(str(event.get("eventType", "") if isinstance(event, dict) else event))
    return ", ".join(starts) or "by hand"


@jobs.command()
@connected
def get(connection: Connection, job_id: _JobId, *, as_json: AsJson = False) -> None:
    """Print one job document; with --json in one line.

    Example: epm-task jobs get key-scanner > Jobs/key-scanner.json
    """
    with connection.client() as admin:
        document = admin.get_job(job_id)
    typer.echo(json.dumps(document, ensure_ascii=as_json, indent=None if as_json else 2))


@jobs.command()
@connected
def apply(
    connection: Connection, files: _JobFiles, *, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Create or replace jobs; one that the agent has already is left alone.

    The agent is asked for its verdict on all of them first: when it refuses one, none is changed.

    Example: epm-task jobs apply Jobs/*.json
    """
    documents = read_documents(files)
    applied = []
    with connection.client() as admin:
        _require_valid(admin, documents)
        for file, document in documents:
            done = apply_job(admin, document, dry_run=dry_run)
            job = {"jobId": done.job_id, "change": done.change, "warnings": done.warnings}
            applied.append({"file": str(file), **job})
            if not as_json:
                change = f"would be {done.change}" if dry_run else done.change
                typer.echo(f"{printable(done.job_id)}: {change}")
                _list("warning", done.warnings)
    if as_json:
        show_json({"jobs": applied, "dryRun": dry_run})


def _require_valid(admin: AdminClient, documents: list[tuple[Path, dict[str, Any]]]) -> None:
    refused = []
    for file, document in documents:
        verdict = live_verdict(admin, document)
        refused += [f"{file}: {error}" for error in verdict.errors if not verdict.valid]
    if refused:
        raise JobRefused("these files, and nothing was changed", refused)


def _list(kind: str, texts: Sequence[str]) -> None:
    for text in texts:
        typer.echo(f"  {kind}: {printable(text)}")


@jobs.command()
@connected
def delete(
    connection: Connection,
    job_ids: Annotated[list[str], typer.Argument(metavar="ID…", show_default=False)],
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Delete jobs; their binaries stay.

    Example: epm-task jobs delete key-scanner --yes
    """
    with connection.client() as admin:
        for job_id in job_ids:
            admin.get_job(job_id)  # an id that is wrong stops all, before anything is deleted
        if not confirmed(f"Delete {', '.join(job_ids)} at {admin.url}?", yes=yes):
            say("nothing was deleted")
            return FAILED
        for job_id in job_ids:
            admin.delete_job(job_id)
            if not as_json:
                typer.echo(f"{job_id}: deleted")
    if as_json:
        show_json({"deleted": job_ids})
    return 0


@jobs.command()
@connected
def validate(connection: Connection, files: _JobFiles, *, as_json: AsJson = False) -> int:
    """Show the agent's own verdict on job files; exit 1 when it refuses one.

    Example: epm-task jobs validate Jobs/key-scanner.json
    """
    documents = read_documents(files)
    with connection.client() as admin:
        verdicts = [(file, live_verdict(admin, document)) for file, document in documents]
    if as_json:
        show_json({"verdicts": [{"file": str(file), **asdict(each)} for file, each in verdicts]})
    else:
        for file, verdict in verdicts:
            typer.echo(f"{file}: {'valid' if verdict.valid else 'refused'}")
            _list("error", verdict.errors)
            _list("warning", verdict.warnings)
    return 0 if all(verdict.valid for _, verdict in verdicts) else FAILED


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
    str | None, typer.Option(metavar="HOST:PORT", help="Read the records by an admin subscription.")
]


@jobs.command()
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
    timeout: WaitSeconds = 3600.0,
    as_json: AsJson = False,
) -> int:
    """Start a run; with --wait show its records on stderr and exit with its exit code.

    The agent notes the end of a run in its run history, below --agent-root. Without it only records
    can be followed, until --timeout, and the exit code is 1: the end was not seen. Ctrl-C ends with
    130, and the run goes on.

    Example: epm-task jobs trigger key-scanner Root=/etc --wait --agent-root ./agent
    """
    context = dict(_assignment(value) for value in values or ())
    with connection.client() as admin:
        job = admin.get_job(job_id)
        if context:
            for name in unused_values(job, context, windows=sys.platform == "win32"):
                meant = parameter_meant(job, name)
                say(f"warning: no parameter of {job_id} takes {name}; {meant}")
        context = by_hand(job, context)
        if not wait:
            _show_start(admin.trigger_job(job_id, context), as_json=as_json)
            return 0
        records: list[dict[str, Any]] = []
        credential = connection.settings().credential
        with (
            Steps() as steps,
            closing(
                _follower(
                    job_id,
                    credential,
                    agent_root,
                    log,
                    broker,
                    show=records.append if as_json else steps.record,
                )
            ) as follower,
        ):
            started = admin.trigger_job(job_id, context)
            if not as_json:
                steps.say(f"{job_id}: started {started.run_id}".rstrip())
            ended = follower.follow(job_id, started.run_id, timeout)
    if as_json:
        end = ended.document() if ended is not None else None
        show_json({**asdict(started), "end": end, "records": records})
    elif ended is None:
        say(f"the end of the run was not seen in {timeout:g} s; it may still go on")
    else:
        _show_end(ended)
    return FAILED if ended is None else ended.shell_exit_code


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Failure(f"{text!r} gives no value of the event context", fix="write key=value")
    return name, value


def _show_start(started: Started, *, as_json: bool) -> None:
    if as_json:
        show_json(asdict(started))
    else:
        typer.echo(printable(f"{started.job_id}: started {started.run_id}").rstrip())


def _show_end(ended: EndedRun) -> None:
    if ended.result is not None:
        show_json(ended.result)
    for denial in ended.denials:
        say(f"denied, unseen by the task: {denial}")
    for line in ended.last_words():
        typer.echo(line, err=True)
    if why := ended.skipped or ended.problem:
        say(why)
    say(f"{ended.seconds:.2f} s; exit {ended.end}")


def _follower(  # noqa: PLR0913  # each is an option of the command line
    job_id: str,
    credential: Credential,
    agent_root: Path | None,
    log: Path | None,
    broker: str | None,
    *,
    show: Callable[[dict[str, Any]], None],
) -> Follower:
    """Return what sees everything of the job from now on."""
    if agent_root is None and log is None and broker is None:
        raise Failure(
            "--wait needs something to read the run from",
            fix="give --agent-root for log and run history, --log FILE, or --broker HOST:PORT",
        )
    root = AgentRoot(agent_root.absolute()) if agent_root else None
    logs = [log] if log else root.all_logs() if root else []
    try:
        source: RecordSource | None = LogRecords(logs, job_id) if logs else None
        if broker is not None:
            source = BrokerRecords(broker_address(broker), credential, job_id)
        return Follower(source, root.run_history if root else None, show)
    except OSError as error:
        what = f"{error.filename} cannot be read"
        raise Failure(what, error.strerror, "run this as an administrator") from error


@jobs.command()
@connected
def run(connection: Connection, job_id: _JobId, *, as_json: AsJson = False) -> None:
    """Start a run and do not wait; `trigger` can pass values, and can wait.

    Example: epm-task jobs run key-scanner
    """
    with connection.client() as admin:
        _show_start(admin.run_job(job_id), as_json=as_json)


@jobs.command()
@connected
def reload(connection: Connection, *, as_json: AsJson = False) -> int:
    """Let the agent read its folder Jobs/ again; exit 1 when it could not use a file.

    Example: epm-task jobs reload
    """
    with connection.client() as admin:
        reloaded = admin.reload_jobs()
    if as_json:
        show_json(asdict(reloaded))
    else:
        typer.echo(printable(reloaded.message) or "reloaded")
        _list("error", reloaded.errors)
    return FAILED if reloaded.errors else 0
