"""`epm-task run` runs one task under an agent in a box, in one command."""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epm_task.cli import options
from epm_task.cli.interruption import Interruption
from epm_task.cli.options import read_faults, read_settings, split_target
from epm_task.cli.output import Failure, LiveView, harmless
from epm_task.contract.record import Record
from epm_task.exit_code import describe
from epm_task.job.task_file import NoSuchTask, TaskFileError, find_task
from epm_task.simulator.embedded import Agent

if TYPE_CHECKING:
    from epm_task.runtime.task import Task
    from epm_task.simulator.run import Run, StartedRun


#: A task that does not stop in this time is killed; the runtime itself needs 5 s at most.
_GRACE_SECONDS = 10.0

#: How long a signal may wait until it is passed on.
_LOOK_SECONDS = 0.1


_Target = Annotated[
    str,
    typer.Argument(metavar="FILE[:TASK]", help="A file with a task.", show_default=False),
]
_Arguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[-- ARGS]", help="Arguments of the task.", show_default=False),
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
_AsJson = Annotated[bool, typer.Option("--json", help="One JSON report on stdout, nothing else.")]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the agent's decisions too.")]


def run(  # noqa: PLR0913  # each is an option of the command line
    target: _Target,
    arguments: _Arguments = None,
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
    as_json: _AsJson = False,
    verbose: _Verbose = False,
) -> int:
    """Run one task under an agent in a box; exit with the task's own exit code.

    Records stand on stderr as they come, the task's result on stdout, a summary comes last.

    Example: epm-task run examples/key_scanner.py --setting KeyScanner.max_bytes=10 -- --root .
    """
    path, name = split_target(target)
    found = _find(path, name)
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
    job = _changes(job_id, no_broker=no_broker)
    words = {"arguments": arguments or (), "job": job, "timeout": timeout}
    finished, exit_code = _carry_out(agent, found or path, view, words)
    if as_json:
        typer.echo(as_line(finished))
    else:
        _show(finished, view)
    return exit_code


def _carry_out(
    agent: Agent, target: Task[..., object] | Path, view: LiveView, words: dict[str, Any]
) -> tuple[Run, int]:
    """Start the agent, run the target in the caller's folder, stop the agent."""
    with Interruption() as interruption, agent:
        agent.trace.subscribe(view.event)
        started = agent.start(
            target, cwd=Path.cwd(), on_line=view.line, on_record=view.record, **words
        )
        finished = _wait(started, interruption)
    return finished, interruption.exit_code or exit_code_of(finished)


def _changes(job_id: str | None, *, no_broker: bool) -> dict[str, Any]:
    job: dict[str, Any] = {"id": job_id} if job_id else {}
    return {**job, "mqttTopics": {}} if no_broker else job


def _find(path: Path, name: str | None) -> Task[..., object] | None:
    """Return the task, before there is an agent: an import that hangs can just be killed."""
    try:
        with redirect_stdout(sys.stderr):  # the file may print
            return find_task(path, name)
    except NoSuchTask as error:
        raise Failure(str(error), "write FILE:TASK") from error
    except TaskFileError as error:
        raise Failure(str(error), f"`python {path} --help` must work") from error


def _wait(started: StartedRun, interruption: Interruption) -> Run:
    """Wait for the end; a signal is passed on to the task, a second one kills it."""
    asked_at = None
    while True:
        with suppress(TimeoutError):
            return started.wait(_LOOK_SECONDS)
        if not interruption.count:
            continue
        with suppress(RuntimeError):  # no process was started, so the run is over
            if asked_at is None:
                asked_at = time.monotonic()
                started.terminate()
            elif interruption.count > 1 or time.monotonic() - asked_at > _GRACE_SECONDS:
                started.kill()


def _show(finished: Run, view: LiveView) -> None:
    _print(finished.stdout)
    view.denials(finished.denials)
    for hint in hints(finished):
        view.say(hint)
    view.say(summary(finished))


def _print(output: bytes) -> None:
    """Print what the task printed; a terminal gets no control character of it."""
    if sys.stdout.isatty():
        output = "".join(f"{harmless(line)}\n" for line in output.splitlines()).encode()
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()


def exit_code_of(run: Run) -> int:
    """Return the exit code as a shell would see it: 128 plus the signal for a killed process."""
    return 128 - run.exit_code if run.exit_code < 0 else run.exit_code


def summary(run: Run) -> str:
    """Return the last line for people."""
    ended = f"exit {run.exit_code} ({describe(run.exit_code)})"
    if run.timed_out:
        ended += ", ended by the agent at its time-out"
    parts = (
        _registration(run),
        _count(run.acknowledged, "record") + " acknowledged",
        f"{run.seconds:.2f} s",
        ended,
    )
    return "; ".join(parts)


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


def as_line(run: Run) -> str:
    """Return the report for programs as one line of JSON."""
    return json.dumps(document(run), default=str)


def _registration(run: Run) -> str:
    tries = _count(run.registration.tries, "try", "tries")
    if run.registration.seconds is None:
        return f"never registered ({tries})"
    return f"registered after {tries}, {run.registration.seconds * 1000:.0f} ms"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
