"""`epm-task runs`: what the run history of an agent says of the runs that have ended."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epm_task.admin.log_files import LogFiles, recent_lines, recent_runs
from epm_task.cli.options import AgentRoot, AsJson, Connection, command_app, connected
from epm_task.cli.output import Failure, colorful, counted, say, show_json, table
from epm_task.contract import layout
from epm_task.contract.client_id import check_job_id
from epm_task.contract.json_text import BadJson, format_json
from epm_task.contract.record import JOB_ID, RUN_ID, SEQ, printable, read_fields, view
from epm_task.contract.run_history import EndedRun, read_run
from epm_task.contract.secrets import MASK
from epm_task.files import documents
from epm_task.runtime.state import parse_state, system_state_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

runs: typer.Typer = command_app()

#: Digits of a run's id that people see, as many as git shows of a commit's and some.
_SHOWN_DIGITS = 12
#: How soon what is new is shown.
_POLL_SECONDS = 0.2

_Job = Annotated[str | None, typer.Option("--job", metavar="ID", help="Only runs of this job.")]
_RunId = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The start of a run's id; last: the youngest."),
]
_Lines = Annotated[bool, typer.Option("--json", help="One JSON object on stdout for each line.")]


@runs.command("list")
def list_runs(
    *,
    job: _Job = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the youngest.")] = 20,
    agent_root: AgentRoot = None,
    as_json: AsJson = False,
) -> None:
    """List the runs that have ended, the youngest last.

    Only the agent of this package writes a run history. RUN is the start of the run's id.

    Example: epm-task runs list --job key-scanner --agent-root ./agent
    """
    found = _history(agent_root, job)[-limit:]
    if as_json:
        show_json({"runs": [run.document() for run in found]})
        return
    heads = ("RUN", "JOB", "STARTED BY", "ENDED", "SECONDS", "RECORDS", "DENIED", "EXIT")
    rows = [
        (
            run.run_id[:_SHOWN_DIGITS],
            run.job_id,
            run.trigger,
            run.ended[:19],
            f"{run.seconds:.2f}",
            run.records,
            len(run.denials),
            run.skipped or run.end,
        )
        for run in found
    ]
    typer.echo(table(heads, rows))


@runs.command()
def show(
    run_id: _RunId = "last",
    *,
    job: _Job = None,
    agent_root: AgentRoot = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of a run: start, registration, messages, denials, end of its stderr.

    Example: epm-task runs show last --job key-scanner --agent-root ./agent
    """
    run = _find(run_id, _history(agent_root, job))
    if as_json:
        show_json(run.document())
        return
    for name, value in _facts(run):
        typer.echo(f"{name:<11} {printable(value)}")
    for line in run.last_words():
        typer.echo(line)


@runs.command()
def logs(
    run_id: _RunId = "last",
    *,
    job: _Job = None,
    agent_root: AgentRoot = None,
    as_json: _Lines = False,
) -> None:
    """Print the records of a run that the agent's log still holds.

    Example: epm-task runs logs last --job key-scanner --agent-root ./agent
    """
    root = _root(agent_root)
    run = _find(run_id, _history(agent_root, job))
    found = {
        (record.get(RUN_ID), record.get(SEQ, number)): record  # one may come twice
        for number, record in enumerate(_records(recent_lines(root.all_logs())))
        if record.get(JOB_ID) == run.job_id and record.get(RUN_ID) in run.record_runs
    }
    for record in found.values():
        _print_record(record, as_json=as_json)
    if len(found) < run.records:
        why = "older ones are gone, or the log keeps higher levels only"
        say(f"{len(found)} of {counted(run.records, 'record')} are in the log: {why}")


@runs.command()
def tail(*, job: _Job = None, agent_root: AgentRoot = None, as_json: _Lines = False) -> None:
    """Print records and ends of runs as they come, until Ctrl-C.

    Example: epm-task runs tail --agent-root ./agent
    """
    root = _root(agent_root)
    logged, ended = LogFiles(*root.all_logs()), LogFiles(root.run_history)
    while True:
        for record in _records(logged.lines()):
            if job is None or record.get(JOB_ID) == job:
                _print_record(record, as_json=as_json, named=True)
        for run in filter(None, map(read_run, ended.lines())):
            if job not in {None, run.job_id}:
                continue
            if as_json:
                show_json({"ended": run.document()})
                continue
            typer.echo(
                printable(f"{run.job_id}: {run.seconds:.2f} s; exit {run.skipped or run.end}")
            )
            for line in run.last_words():
                typer.echo(line)
        if not logged.behind:
            time.sleep(_POLL_SECONDS)


@runs.command()
@connected
def rerun(
    connection: Connection,
    run_id: _RunId = "last",
    *,
    job: _Job = None,
    agent_root: AgentRoot = None,
    as_json: AsJson = False,
) -> None:
    """Start the job of a run again, with the same event context, as an administrator.

    Example: epm-task runs rerun last --job key-scanner --agent-root ./agent --cert admin.pem
    """
    run = _find(run_id, _history(agent_root, job))
    if hidden := [name for name, value in run.context.items() if MASK in json.dumps(value)]:
        raise Failure(
            f"the value of {', '.join(hidden)} is a secret, which the run history does not hold",
            fix=f"pass it: epm-task jobs trigger {run.job_id} {hidden[0]}=…",
        )
    with connection.client() as admin:
        started = admin.trigger_job(run.job_id, run.context)
    if as_json:
        show_json(asdict(started))
    else:
        typer.echo(printable(f"{started.job_id}: started {started.run_id}"))


@runs.command()
def state(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="A job's id.", show_default=False)],
    *,
    folder: Annotated[
        Path | None, typer.Option("--state", metavar="FOLDER", help="That of `run --state`.")
    ] = None,
    agent_root: AgentRoot = None,
    as_json: AsJson = False,
) -> None:
    """Show what the tasks of a job keep between their runs.

    It lies in the folder of the agent of this package; with another agent, in that of the system
    for the account that runs this command.

    Example: epm-task runs state key-scanner --agent-root ./agent
    """
    place = _states(folder, agent_root) / check_job_id(job_id)
    found = {}
    for path in documents(place):
        try:
            values, version = parse_state(path.read_bytes())
        except BadJson as error:
            if "-unusable-" not in path.stem:
                raise Failure(f"{path} is not a state", error.why) from None
            continue
        found[path.stem] = {"version": version, "values": values}
    if not found:
        why = "no run of it has saved any" if place.exists() else f"{place} is missing"
        raise Failure(f"the job {job_id} has no state", why)
    if as_json:
        show_json({"jobId": job_id, "folder": str(place), "states": found})
        return
    for task, kept in found.items():
        typer.echo(f"{printable(task)}, version {kept['version']}, in {place}")
        typer.echo(format_json(kept["values"]).rstrip())


def _states(folder: Path | None, agent_root: Path | None) -> Path:
    if folder is not None:
        return folder.absolute()
    root = layout.find_root(agent_root)
    ours = root is not None and (agent_root is not None or root.states.exists())
    return root.states if root is not None and ours else system_state_folder()


def _root(given: Path | None) -> layout.AgentRoot:
    root = layout.find_root(given)
    if root is None:
        raise Failure("no agent is installed here", fix="name its folder with --agent-root")
    return root


def _history(agent_root: Path | None, job: str | None) -> list[EndedRun]:
    """Return the runs that the history of an agent holds, the oldest first."""
    path = _root(agent_root).run_history
    if not path.exists():
        why = "only the agent of this package writes one, once a run has ended"
        raise Failure(f"there is no run history at {path}", why)
    return recent_runs(path, job)


def _find(given: str, found: list[EndedRun]) -> EndedRun:
    """Return the one run whose id begins like that; `last` is the youngest."""
    if given == "last" and found:
        return found[-1]
    if not found:
        raise Failure("no run has ended yet", fix="start one, or name another job or folder")
    same = [run for run in found if run.run_id.startswith(given)]
    if len(same) != 1:
        what = f"{counted(len(same), 'run has', 'runs have')} an id that begins with {given}"
        raise Failure(what, fix="see epm-task runs list")
    return same[0]


def _records(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    return (record for line in lines if (record := read_fields(line)) is not None)


def _print_record(record: dict[str, Any], *, as_json: bool, named: bool = False) -> None:
    if as_json:
        show_json(record)
        return
    whose = str(record.get(JOB_ID) or "?") if named else ""
    typer.echo(view(record, color=colorful(typer.get_text_stream("stdout")), whose=whose))


def _facts(run: EndedRun) -> Iterator[tuple[str, str]]:
    """Yield the lines of a run: a name and a value."""
    yield "run", run.run_id
    yield "job", run.job_id
    context = "".join(f" {name}={json.dumps(value)}" for name, value in run.context.items())
    yield "started by", f"{run.trigger}{context}"
    yield "ended", f"{run.ended}, after {run.seconds:.2f} s"
    yield "exit code", run.skipped or run.end
    if run.problem:
        yield "problem", run.problem
    if run.tries:
        seconds = run.registered_seconds
        after = "never" if seconds is None else f"after {seconds * 1000:.0f} ms"
        yield "registered", f"{after}, {counted(run.tries, 'try', 'tries')}"
    yield "records", f"{run.records} acknowledged"
    for message in run.messages:
        yield "published", f"{message['topic']}  {json.dumps(message['payload'])}"
    if more := run.published - len(run.messages):
        yield "published", f"{counted(more, 'more message')}"
    for denial in run.denials:
        yield "denied", denial
    if run.result is not None:
        yield "result", json.dumps(run.result)
