"""`epm-task jobs` is the group of verbs for an administrator of the agent's jobs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epm_task.admin.answers import Started, Verdict
from epm_task.admin.client import AdminClient, Applied, apply_job, live_verdict
from epm_task.admin.errors import JobRefused
from epm_task.admin.follow import Follower
from epm_task.admin.records import BrokerRecords, LogRecords, RecordSource
from epm_task.cli.connection import AsJson, Connection, connected
from epm_task.cli.options import read_job
from epm_task.cli.output import FAILED, Failure, colorful, table
from epm_task.contract.layout import AgentRoot
from epm_task.contract.record import printable, view
from epm_task.contract.run_history import EndedRun
from epm_task.exit_code import describe
from epm_task.job.json_source import BadSource
from epm_task.runtime.agent.address import loopback_ip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from epm_task.admin.credential import Credential

jobs = typer.Typer(
    help="List, apply, trigger, delete jobs of an agent, as its administrator.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@connected
def apply(
    connection: Connection,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", show_default=False)],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create or replace jobs; one that the agent has already is left alone.

    The agent is asked for its verdict on all of them first: when it refuses one, none is changed.

    Example: epm-task jobs apply Jobs/*.json
    """
    documents = read_documents(files)
    with connection.client() as admin:
        _require_valid(admin, documents)
        done = []
        for file, document in documents:
            applied = apply_job(admin, document, dry_run=dry_run)
            done.append((file, applied))
            if not as_json:
                typer.echo(_line(applied, dry_run=dry_run))
    if as_json:
        jobs = [
            {
                "file": str(file),
                "jobId": each.job_id,
                "change": each.change,
                "warnings": each.warnings,
            }
            for file, each in done
        ]
        typer.echo(json.dumps({"jobs": jobs, "dryRun": dry_run}))


def _require_valid(admin: AdminClient, documents: list[tuple[Path, dict[str, Any]]]) -> None:
    refused = []
    for file, document in documents:
        verdict = live_verdict(admin, document)
        refused += [f"{file}: {error}" for error in verdict.errors if not verdict.valid]
    if refused:
        raise JobRefused("these files, and nothing was changed", refused)


def _line(applied: Applied, *, dry_run: bool) -> str:
    change = f"would be {applied.change}" if dry_run else applied.change
    warnings = "".join(f"\n  warning: {printable(warning)}" for warning in applied.warnings)
    return f"{printable(applied.job_id)}: {change}{warnings}"


@connected
def delete(
    connection: Connection,
    job_ids: Annotated[list[str], typer.Argument(metavar="ID…", show_default=False)],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Delete jobs; their binaries stay.

    Example: epm-task jobs delete key-scanner --yes
    """
    with connection.client() as admin:
        for job_id in job_ids:
            admin.get_job(job_id)  # an id that is wrong stops all, before anything is deleted
        if not yes and not _confirmed(job_ids, admin.url):
            typer.echo("nothing was deleted", err=True)
            return 1
        for job_id in job_ids:
            admin.delete_job(job_id)
            if not as_json:
                typer.echo(f"{job_id}: deleted")
    if as_json:
        typer.echo(json.dumps({"deleted": job_ids}))
    return 0


def _confirmed(job_ids: list[str], url: str) -> bool:
    if not sys.stdin.isatty():
        raise Failure(
            f"nobody can be asked whether {', '.join(job_ids)} shall be deleted",
            "stdin is no terminal; give --yes",
        )
    return typer.confirm(f"Delete {', '.join(job_ids)} at {url}?", err=True)


@connected
def get(
    connection: Connection,
    job_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Print one job document; with --json in one line.

    Example: epm-task jobs get key-scanner > Jobs/key-scanner.json
    """
    with connection.client() as admin:
        document = admin.get_job(job_id)
    typer.echo(json.dumps(document, ensure_ascii=as_json, indent=None if as_json else 2))


@connected
def list_jobs(
    connection: Connection,
    *,
    as_json: AsJson = False,
) -> None:
    """List the agent's jobs.

    Example: epm-task jobs list --cert admin.pem --key admin.key --cacert ca.pem
    """
    with connection.client() as admin:
        found = admin.list_jobs()
    if as_json:
        typer.echo(json.dumps({"jobs": found.jobs, "count": found.count}))
        return
    rows = [
        (job.get("id", ""), _enabled(job), _starts(job), job.get("name", "")) for job in found.jobs
    ]
    typer.echo(table(("ID", "ENABLED", "STARTS", "NAME"), rows))


def _enabled(job: dict[str, Any]) -> str:
    return "no" if job.get("enabled", True) is False else "yes"


def _starts(job: dict[str, Any]) -> str:
    """Return what starts the job, in a few words."""
    schedule = job.get("schedule")
    starts = []
    if isinstance(schedule, dict):
        minutes = schedule.get("intervalMinutes")
        starts += [f"every {minutes} min"] if minutes else []
        starts += [str(schedule[key]) for key in ("cronExpression", "runAt") if schedule.get(key)]
        starts = starts or ["calendar"]
    for event in job.get("events") or ():
        starts.append(str(event.get("eventType", "") if isinstance(event, dict) else event))
    return ", ".join(starts) or "by hand"


@connected
def reload(
    connection: Connection,
    *,
    as_json: AsJson = False,
) -> int:
    """Let the agent read its folder Jobs/ again; exit 1 when it could not use a file.

    Example: epm-task jobs reload
    """
    with connection.client() as admin:
        reloaded = admin.reload_jobs()
    if as_json:
        typer.echo(json.dumps(asdict(reloaded)))
    else:
        typer.echo(printable(reloaded.message) or "reloaded")
        for error in reloaded.errors:
            typer.echo(f"  error: {printable(error)}")
    return FAILED if reloaded.errors else 0


@connected
def run(
    connection: Connection,
    job_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Start a run and do not wait; `trigger` can pass values, and can wait.

    Example: epm-task jobs run key-scanner
    """
    with connection.client() as admin:
        started = admin.run_job(job_id)
    if as_json:
        typer.echo(json.dumps(asdict(started)))
    else:
        typer.echo(f"{job_id}: started {printable(started.run_id)}".rstrip())


@connected
def validate(
    connection: Connection,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", show_default=False)],
    *,
    as_json: AsJson = False,
) -> int:
    """Show the agent's own verdict on job files; exit 1 when it refuses one.

    Example: epm-task jobs validate Jobs/key-scanner.json
    """
    documents = read_documents(files)
    with connection.client() as admin:
        verdicts = [live_verdict(admin, document) for _, document in documents]
    if as_json:
        rows = zip(files, verdicts, strict=True)
        listed = [{"file": str(file), **asdict(verdict)} for file, verdict in rows]
        typer.echo(json.dumps({"verdicts": listed}))
    else:
        for file, verdict in zip(files, verdicts, strict=True):
            typer.echo(_lines(file, verdict))
    return 0 if all(verdict.valid for verdict in verdicts) else FAILED


def _lines(file: Path, verdict: Verdict) -> str:
    lines = [f"{file}: {'valid' if verdict.valid else 'refused'}"]
    lines += [f"  error: {printable(error)}" for error in verdict.errors]
    lines += [f"  warning: {printable(warning)}" for warning in verdict.warnings]
    return "\n".join(lines)


def read_documents(files: Iterable[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Return each file with the job document that it holds.

    Raises:
        Failure: A file cannot be read, or holds no job document; the place in it is told.
    """
    return [(file, _read(file)) for file in files]


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_job(file).raw
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", "give a job file") from error
    except BadSource as error:
        raise Failure(f"{file}: {error}", "correct the file") from error


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


jobs.command("list")(list_jobs)
jobs.command()(get)
jobs.command()(apply)
jobs.command()(delete)
jobs.command()(validate)
jobs.command()(trigger)
jobs.command()(run)
jobs.command()(reload)


def make_follower(  # noqa: PLR0913 - each is an option of the command line
    job_id: str,
    credential: Credential,
    *,
    agent_root: Path | None,
    log: Path | None,
    broker: str | None,
    show: Callable[[dict[str, Any]], None],
) -> Follower:
    """Return a follower that sees everything from now on.

    Raises:
        Failure: None of the sources was given, or a file cannot be read.
        AdminError: The broker cannot be used.
    """
    if agent_root is None and log is None and broker is None:
        raise Failure(
            "--wait needs something to read the run from",
            "give --agent-root for log and run history, --log FILE, or --broker HOST:PORT",
        )
    root = AgentRoot(agent_root.absolute()) if agent_root else None
    file = log or (root.keeper_logger if root else None)
    try:
        source: RecordSource | None = LogRecords(file, job_id) if file else None
        if broker is not None:
            source = BrokerRecords(broker_address(broker), credential, job_id)
        return Follower(source, root.run_history if root else None, show)
    except OSError as error:
        raise Failure(
            f"{error.filename} cannot be read: {error.strerror}", "run this as an administrator"
        ) from error


def broker_address(text: str) -> tuple[str, int]:
    """Return IP address and port of `HOST:PORT`.

    Raises:
        Failure: It has another form, or is not on loopback.
    """
    host, _, port = text.rpartition(":")
    ip = loopback_ip(host.strip("[]"))
    if ip is None or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise Failure(f"--broker {text} is no address on loopback", "write 127.0.0.1:PORT")
    return ip, int(port)
