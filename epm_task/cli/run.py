"""`epm-task run`: run one task under an agent in a box, show its records, report how it ended."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epm_task.cli import options
from epm_task.cli.inputs import read_faults, read_settings, split_target, task_of
from epm_task.cli.interruption import Interruption, stop_signals_to
from epm_task.cli.output import LiveView, harmless, write
from epm_task.contract.record import Record
from epm_task.exit_code import describe
from epm_task.simulator.background import NoProcess
from epm_task.simulator.embedded import Agent

if TYPE_CHECKING:
    from epm_task.simulator.background import StartedRun
    from epm_task.simulator.jobs.run import Run


#: A task that does not stop in this time is killed; the runtime itself needs 5 s at most.
_GRACE_SECONDS = 10.0

#: How long a signal may wait until it is passed on.
_POLL_SECONDS = 0.1


_Target = Annotated[
    str,
    typer.Argument(metavar="FILE[:TASK]", help="A file with a task.", show_default=False),
]
_RegistrationDelay = Annotated[
    float, typer.Option(min=0, help="Seconds until the agent registers the process.")
]
_JobId = Annotated[str | None, typer.Option(help="Another id for the job.")]
_NoBroker = Annotated[bool, typer.Option("--no-broker", help="A job without topics: no MQTT.")]
_Deny = Annotated[
    list[str] | None,
    typer.Option(metavar="TOPIC", help="Leave a topic out of mqttTopics; repeatable."),
]
_Timeout = Annotated[
    float, typer.Option(min=0.1, help="Seconds after which the agent ends the task.")
]
_Replay = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Answer the task from a recording.")
]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the agent's decisions too.")]


def run(  # noqa: PLR0913  # each is an option of the command line
    target: _Target,
    arguments: options.TaskArguments = None,
    *,
    setting: options.Setting = None,
    settings: options.Settings = None,
    registration_delay: _RegistrationDelay = 0.0,
    job_id: _JobId = None,
    no_broker: _NoBroker = False,
    deny: _Deny = None,
    timeout: _Timeout = 3600.0,
    fault: options.Fault = None,
    faults: options.Faults = None,
    record: options.Record = None,
    replay: _Replay = None,
    trace: options.Trace = None,
    as_json: options.AsJson = False,
    verbose: _Verbose = False,
) -> int:
    """Run one task under an agent in a box; exit with the task's own exit code.

    Its records go to stderr as they come, its result to stdout; a summary comes last.

    Example: epm-task run examples/key_scanner.py --setting KeyScanner.max_bytes=10 -- --root .
    """
    path, name = split_target(target)
    task = task_of(path, name)  # before there is an agent: an import that hangs can just be killed
    view = LiveView(quiet=as_json, verbose=verbose)
    agent = Agent(
        registration_delay=registration_delay,
        deny=deny or (),
        settings=read_settings(settings, setting or ()),
        faults=read_faults(faults, fault or ()),
        record_file=record,
        replay_file=replay,
        trace_file=trace,
    )
    job: dict[str, Any] = {"id": job_id} if job_id else {}
    job |= {"mqttTopics": {}} if no_broker else {}
    interruption = Interruption()
    with stop_signals_to(interruption.take), agent:
        agent.trace.subscribe(view.event)
        started = agent.start(
            task or path,
            arguments=arguments or (),
            job=job,
            timeout=timeout,
            cwd=Path.cwd(),
            on_line=view.line,
            on_record=view.record,
        )
        finished = _wait(started, interruption)
    if as_json:
        typer.echo(json.dumps(document(finished), default=str))
    else:
        _show(finished, view)
    return interruption.exit_code or exit_code_of(finished)


def _wait(started: StartedRun, interruption: Interruption) -> Run:
    """Wait for the end; a signal is passed on to the task, a second one kills it."""
    asked_at = None
    while True:
        with suppress(TimeoutError):
            return started.wait(_POLL_SECONDS)
        if not interruption.count:
            continue
        with suppress(NoProcess):  # no process was started, so the run is over
            if asked_at is None:
                asked_at = time.monotonic()
                started.terminate()
            elif interruption.count > 1 or time.monotonic() - asked_at > _GRACE_SECONDS:
                started.kill()


def _show(finished: Run, view: LiveView) -> None:
    output = finished.stdout
    if sys.stdout.isatty():  # a terminal gets no control character of it
        output = "".join(f"{harmless(line)}\n" for line in output.splitlines()).encode()
    write(output)
    view.denials(finished.denials)
    for hint in hints(finished):
        view.say(hint)
    view.say(summary(finished))


def exit_code_of(run: Run) -> int:
    """Return the exit code as a shell would see it: 128 plus the signal for a killed process."""
    return 128 - run.exit_code if run.exit_code < 0 else run.exit_code


def summary(run: Run) -> str:
    """Return the last line for people."""
    ended = f"exit {run.exit_code} ({describe(run.exit_code)})"
    if run.timed_out:
        ended += ", ended by the agent at its time-out"
    records = _count(run.acknowledged, "record")
    return f"{_registration(run)}; {records} acknowledged; {run.seconds:.2f} s; {ended}"


def hints(run: Run) -> list[str]:
    """Return what is worth a look, for example a file that does not call `main`."""
    if run.exit_code:
        return []
    found = []
    if not run.registration.tries:
        found.append("the process never asked for settings: does the file end with TASK.main()?")
    if run.stdout.strip() and run.result is None:
        found.append("stdout is not one JSON object, so the agent takes no result from it")
    return found


def document(run: Run) -> dict[str, Any]:
    """Return the report for programs; its fields are frozen."""
    plain = [
        line
        for line in run.stderr.decode("utf-8", "replace").splitlines()
        if Record.from_line(line.encode()) is None
    ]
    return {
        "exit_code": exit_code_of(run),
        "exit_name": describe(run.exit_code),
        "result": run.result,
        "registration": asdict(run.registration),
        "acknowledged": run.acknowledged,
        "seconds": round(run.seconds, 3),
        "timed_out": run.timed_out,
        "records": [record._asdict() for record in run.records],
        "denials": [event.document() for event in run.denials],
        "stderr": plain,
    }


def _registration(run: Run) -> str:
    tries = _count(run.registration.tries, "try", "tries")
    if run.registration.seconds is None:
        return f"never registered ({tries})"
    return f"registered after {tries}, {run.registration.seconds * 1000:.0f} ms"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
