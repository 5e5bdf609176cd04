"""`epm-task run` runs one task under an agent in a box, in one command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epm_task.cli import run_report
from epm_task.cli.failure import Failure
from epm_task.cli.interruption import Interrupted, interruptible
from epm_task.cli.live_view import LiveView
from epm_task.cli.run_inputs import read_faults, read_settings, split_target
from epm_task.simulator.agent import Agent
from epm_task.simulator.task_file import TaskFileError

if TYPE_CHECKING:
    from epm_task.simulator.finished_run import Run
    from epm_task.simulator.started_run import StartedRun

#: A task that does not stop in this time is killed; the runtime itself needs 5 s at most.
_GRACE_SECONDS = 10.0


def run(  # noqa: PLR0913  # each is an option of the command line
    target: Annotated[
        str,
        typer.Argument(metavar="FILE[:TASK]", help="A file with a task.", show_default=False),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGS]", help="Arguments of the task.", show_default=False),
    ] = None,
    *,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="PLUGIN.key=value", help="A setting; repeatable."),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help='JSON: {"Plugin": {"key": "value"}}.')
    ] = None,
    registration_delay: Annotated[
        float, typer.Option(min=0, help="Seconds until the agent registers the process.")
    ] = 0.0,
    job_id: Annotated[str | None, typer.Option(help="Another id for the job.")] = None,
    no_broker: Annotated[
        bool, typer.Option("--no-broker", help="A job without topics: no MQTT.")
    ] = False,
    deny: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC", help="Leave a topic out of mqttTopics; repeatable."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which the agent ends the task.")
    ] = 3600.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="WORDS", help='A fault, "api status=403 times=3"; repeatable.'),
    ] = None,
    faults: Annotated[Path | None, typer.Option(metavar="FILE", help="Faults in TOML.")] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what passes, secrets masked.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answer the task from a recording.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every decision as a JSON line.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON report on stdout, nothing else.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the agent's decisions too.")
    ] = False,
) -> int:
    """Run one task under an agent in a box; exit with the task's own exit code.

    Records stand on stderr as they come, the task's result on stdout, a summary comes last.

    Example: epm-task run examples/key_scanner.py --setting KeyScanner.max_bytes=10 -- --root .
    """
    path, name = split_target(target)
    view = LiveView(quiet=as_json, verbose=verbose)
    job: dict[str, Any] = {"id": job_id} if job_id else {}
    if no_broker:
        job["mqttTopics"] = {}
    agent = Agent(
        registration_delay=registration_delay,
        deny=deny or (),
        settings=read_settings(settings, setting or ()),
        faults=read_faults(faults, fault or ()),
        record_file=record,
        replay_file=replay,
        trace_file=trace,
    )
    with interruptible(), agent:
        agent.trace.subscribe(view.event)
        try:
            started = agent.start(
                path,
                task=name,
                arguments=arguments or (),
                job=job,
                timeout=timeout,
                cwd=Path.cwd(),
                on_line=view.line,
                on_record=view.record,
            )
        except (TaskFileError, TypeError) as error:
            raise Failure(str(error), "`python FILE --help` must work") from error
        finished, code = _wait(started)
    if as_json:
        typer.echo(run_report.as_line(finished))
    else:
        _show(finished, view)
    return run_report.exit_code_of(finished) if code is None else code


def _wait(started: StartedRun) -> tuple[Run, int | None]:
    """Wait for the end; an interruption is passed on to the task, a second one kills it."""
    try:
        return started.wait(), None
    except Interrupted as interruption:
        code = interruption.exit_code
    try:
        started.terminate()
        return started.wait(_GRACE_SECONDS), code
    except (Interrupted, TimeoutError):
        started.kill()
    return started.wait(), code


def _show(finished: Run, view: LiveView) -> None:
    sys.stdout.buffer.write(finished.stdout)
    sys.stdout.buffer.flush()
    view.denials(finished.denials)
    for hint in run_report.hints(finished):
        view.say(hint)
    view.say(run_report.summary(finished))
