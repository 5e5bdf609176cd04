"""`epm-task run`: try a task under an agent in a box."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from epm_task.cli.inputs import (
    check_required,
    one_of,
    read_faults,
    read_settings,
    split_target,
    task_of,
    unread_settings,
)
from epm_task.cli.interruption import Interruption, stop_signals_to
from epm_task.cli.options import (
    AsJson,
    Fault,
    FaultsFile,
    RecordFile,
    Setting,
    Settings,
    TaskArguments,
    TraceFile,
)
from epm_task.cli.output import LiveView, counted, harmless, say, show_json, write
from epm_task.cli.terminal import begun, lent_terminal
from epm_task.contract.record import Record, printable
from epm_task.errors import sentence
from epm_task.exit_code import ExitCode, describe
from epm_task.runtime.invocation import information_asked_for
from epm_task.simulator.background import NoProcess
from epm_task.simulator.embedded import Agent
from epm_task.simulator.jobs.history import ended_run
from epm_task.simulator.processes.registry import Trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.contract.run_history import EndedRun
    from epm_task.runtime.task import Task
    from epm_task.simulator.background import StartedRun
    from epm_task.simulator.jobs.run import Run

#: A task that does not stop in this time is killed; the runtime itself needs 5 s at most.
_GRACE_SECONDS = 10.0

#: How long a signal may wait until it is passed on.
_POLL_SECONDS = 0.1

_Target = Annotated[
    str, typer.Argument(metavar="FILE[:TASK]", help="A file with a task.", show_default=False)
]
_RunDelay = Annotated[
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
TrustLevel = Annotated[
    str,
    typer.Option(
        metavar="|".join(get_args(Trust)),
        help="Launched processes, their children too, or launched and signed programs.",
    ),
]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the agent's decisions too.")]


def run(  # noqa: PLR0913  # each is an option of the command line
    target: _Target,
    arguments: TaskArguments = None,
    *,
    setting: Setting = None,
    settings: Settings = None,
    registration_delay: _RunDelay = 0.0,
    trust: TrustLevel = "exact",
    job_id: _JobId = None,
    no_broker: _NoBroker = False,
    deny: _Deny = None,
    timeout: _Timeout = 3600.0,
    fault: Fault = None,
    faults: FaultsFile = None,
    record: RecordFile = None,
    replay: _Replay = None,
    trace: TraceFile = None,
    as_json: AsJson = False,
    verbose: _Verbose = False,
) -> int:
    """Run one task under an agent in a box; exit with the task's own exit code.

    Its records go to stderr as they come, its result to stdout; a summary comes last.

    Example: epm-task run examples/key_scanner.py --setting KeyScanner.max_bytes=10 -- --root .
    """
    path, name = split_target(target)
    task = task_of(path, name)  # before there is an agent: an import that hangs can just be killed
    given = read_settings(settings, setting or ())
    if task is not None:
        check_required(task, arguments or ())
        for unread in unread_settings(task, given):
            say(f"warning: {unread}")
    view = LiveView(quiet=as_json, verbose=verbose)
    embedded = Agent(
        registration_delay=registration_delay,
        trust=one_of("--trust", trust, get_args(Trust)),
        deny=deny or (),
        settings=given,
        faults=read_faults(faults, fault or ()),
        record_file=record,
        replay_file=replay,
        trace_file=trace,
    )
    interruption = Interruption()
    with stop_signals_to(interruption.take), embedded, lent_terminal(embedded.root) as env:
        embedded.trace.subscribe(view.event)
        started = embedded.start(
            task or path,
            arguments=arguments or (),
            job={**({"id": job_id} if job_id else {}), **({"mqttTopics": {}} if no_broker else {})},
            timeout=timeout,
            env=env,
            cwd=Path.cwd(),
            on_line=view.line,
            on_record=view.record,
            on_message=view.message,
        )
        finished = _wait(started, interruption, env)
    problem = nothing_ran(finished, path, task, arguments or ())
    if as_json:
        show_json(document(finished, problem))
    else:
        _show(finished, view, problem)
    return interruption.exit_code or exit_code_of(finished, problem)


def _wait(started: StartedRun, interruption: Interruption, env: dict[str, str]) -> Run:
    """Wait for the end; a signal is passed on to the task, a second one kills it.

    Once a debugger has begun, Ctrl-C is for that alone.
    """
    asked_at = None
    while True:
        with suppress(TimeoutError):
            return started.wait(_POLL_SECONDS)
        debugged = begun(env)
        if not interruption.count:
            continue
        with suppress(NoProcess):  # no process was started, so the run is over
            if debugged and interruption.exit_code == 128 + signal.SIGINT:
                interruption.forget()
                started.interrupt()
            elif asked_at is None:
                asked_at = time.monotonic()
                started.terminate()
            elif interruption.count > 1 or time.monotonic() - asked_at > _GRACE_SECONDS:
                started.kill()


def nothing_ran(
    run: Run, path: Path, task: Task[..., object] | None, arguments: Sequence[str]
) -> str:
    """Return why a Python file ended well without having run a task, and the line to add.

    "" for every other run: for one that asked the agent for settings or was asked for information,
    and for programs of another kind, of which nothing is known.
    """
    asked = run.registration.tries or information_asked_for(arguments)
    if run.exit_code or asked or path.suffix != ".py":
        return ""
    if task is None:
        fix = "write `@task` above a function, and call its main() at the end of the file"
        return sentence(f"{path} ran no task", "it holds none", fix)
    line = f'if __name__ == "__main__": {task.handler.function.__name__}.main()'
    return sentence(f"{path} ran no task", "it never called main()", f"add the line `{line}`")


def _show(finished: Run, view: LiveView, problem: str) -> None:
    output = finished.stdout
    if sys.stdout.isatty():  # a terminal gets no control character of it
        output = "".join(f"{harmless(line)}\n" for line in output.splitlines()).encode()
    write(output)
    view.settle()
    view.denials(finished.denials)
    for hint in hints(finished):
        view.say(hint)
    if why := problem or finished.problem:
        view.say(printable(f"epm-task: {why}"))
    view.say(summary(finished, problem))


def exit_code_of(run: Run, problem: str = "") -> int:
    """Return the exit code as a shell would see it: 128 plus the signal for a killed process.

    It is 64 with a *problem*, that of `nothing_ran`.
    """
    return _ended(run, problem).shell_exit_code


def _ended(run: Run, problem: str) -> EndedRun:
    ended = ended_run(run)
    return replace(ended, exit_code=int(ExitCode.USAGE), problem=problem) if problem else ended


def summary(run: Run, problem: str = "") -> str:
    """Return the last line for people."""
    records = counted(run.acknowledged, "record")
    end = f"{run.seconds:.2f} s; exit {_ended(run, problem).end}"
    return f"{_registration(run)}; {records} acknowledged; {end}"


def hints(run: Run) -> list[str]:
    """Return what is worth a look."""
    if run.exit_code or not run.stdout.strip() or run.result is not None:
        return []
    return ["stdout is not one JSON object, so the agent takes no result from it"]


def document(run: Run, problem: str = "") -> dict[str, Any]:
    """Return the report for programs; its fields are frozen."""
    ended = _ended(run, problem)
    plain = [
        line
        for line in run.stderr.decode("utf-8", "replace").splitlines()
        if Record.from_line(line.encode()) is None
    ]
    return {
        "exit_code": ended.shell_exit_code,
        "exit_name": describe(ended.exit_code),
        "problem": ended.problem,
        "result": run.result,
        "registration": asdict(run.registration),
        "acknowledged": run.acknowledged,
        "seconds": round(run.seconds, 3),
        "timed_out": run.timed_out,
        "records": [record._asdict() for record in run.records],
        "messages": [message._asdict() for message in run.messages],
        "denials": [event.document() for event in run.denials],
        "stderr": plain,
    }


def _registration(run: Run) -> str:
    if run.pid is None:
        return "never started"
    tries = counted(run.registration.tries, "try", "tries")
    if run.registration.seconds is None:
        return f"never registered ({tries})"
    return f"registered after {tries}, {run.registration.seconds * 1000:.0f} ms"
