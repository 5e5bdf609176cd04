"""`epm-task run`: try a task under an agent in a box."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args

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
    Verbose,
    WithConsole,
)
from epm_task.cli.output import FAILED, LiveView, counted, harmless, say, show_json, write
from epm_task.cli.terminal import begun, lent_terminal
from epm_task.contract.program_text import program_text
from epm_task.contract.record import Record, printable
from epm_task.errors import EpmTaskError, sentence
from epm_task.exit_code import ExitCode, describe
from epm_task.runtime import debugger
from epm_task.runtime.invocation import information_asked_for
from epm_task.simulator.background import NoProcess
from epm_task.simulator.embedded import Agent
from epm_task.simulator.jobs.history import ended_run
from epm_task.simulator.jobs.run import Run
from epm_task.simulator.processes.registry import Trust

if TYPE_CHECKING:
    from epm_task.contract.run_history import EndedRun
    from epm_task.runtime.task import Task
    from epm_task.simulator.background import StartedRun

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
_State = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Keep the task's state there; else each run begins without one."
    ),
]
_Watch = Annotated[
    bool, typer.Option("--watch", help="Run again when the file, or what it imports, changes.")
]


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
    state: _State = None,
    watch: _Watch = False,
    console: WithConsole = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Run one task under an agent in a box; exit with the task's own exit code.

    Its records go to stderr as they come, its result to stdout; a summary comes last.

    Example: epm-task run examples/key_scanner.py --setting KeyScanner.max_bytes=10 -- --root .
    """
    path, name = split_target(target)
    given = read_settings(settings, setting or ())
    view = LiveView(quiet=as_json, verbose=verbose)
    trial = _Trial(
        path,
        name,
        arguments or (),
        given,
        {**({"id": job_id} if job_id else {}), **({"mqttTopics": {}} if no_broker else {})},
        timeout,
        view,
        as_json=as_json,
        interruption=Interruption(),
    )
    # Before there is an agent: an import that hangs can just be killed.
    task = None if watch else trial.load()
    embedded = Agent(
        registration_delay=registration_delay,
        trust=one_of("--trust", trust, get_args(Trust)),
        deny=deny or (),
        settings=given,
        faults=read_faults(faults, fault or ()),
        record_file=record,
        replay_file=replay,
        trace_file=trace,
        console_port=0 if console else None,
        state_folder=state,
    )
    with stop_signals_to(trial.interruption.take), embedded:
        embedded.trace.subscribe(view.event)
        _show_address(embedded)
        code = trial.watch(embedded) if watch else trial.run(embedded, task)
        code = trial.interruption.exit_code or code
        if console and sys.stderr.isatty():  # where its address was printed
            _linger(trial.interruption)
    return code


def _show_address(embedded: Agent) -> None:
    if embedded.console:
        embedded.console.on_address = lambda address: say(f"console: {address}")
        say(f"console: {embedded.console.address}")


def _linger(interruption: Interruption) -> None:
    """Let people look at the page of a run that has ended, until they want no more."""
    if not interruption.count:
        say("the console stays until Ctrl-C")
    while not interruption.count:
        time.sleep(_POLL_SECONDS)


class _Trial(NamedTuple):
    """A task and how it is run, as the command line says: once, or again and again."""

    path: Path
    name: str | None
    arguments: Sequence[str]
    settings: Mapping[str, Mapping[str, Any]]
    job: Mapping[str, Any]
    timeout: float
    view: LiveView
    as_json: bool
    interruption: Interruption

    def load(self) -> Task[..., object] | None:
        """Import the task, and compare it with what it is given."""
        task = task_of(self.path, self.name)
        if task is not None:
            check_required(task, self.arguments)
            for unread in unread_settings(task, self.settings):
                say(f"warning: {unread}")
        return task

    def run(
        self,
        embedded: Agent,
        task: Task[..., object] | None,
        changed: Callable[[], object] = lambda: False,
    ) -> int:
        """Run it until its end, or until *changed* says that it is out of date; show the end."""
        with lent_terminal(embedded.root) as env:
            self.view.progress.lent = partial(debugger.begun, env)
            started = embedded.start(
                task or self.path,
                arguments=self.arguments,
                job=self.job,
                timeout=self.timeout,
                env=env,
                cwd=Path.cwd(),
                on_line=self.view.line,
                on_record=self.view.record,
                on_message=self.view.message,
            )
            finished = _wait(started, self.interruption, env, changed)
        problem = nothing_ran(finished, self.path, task, self.arguments)
        if self.as_json:
            show_json(document(finished, problem))
        else:
            _show(finished, self.view, problem)
        return exit_code_of(finished, problem)

    def watch(self, embedded: Agent) -> int:
        """Run it, and again after each change of its files, until a signal says that is all."""
        from epm_task.cli.watch import SourceFiles  # noqa: PLC0415  # loads much; few runs need it

        files = SourceFiles(self.path)
        while not self.view.unread:
            try:
                files.begin()
                with stop_signals_to(self.interruption.take_and_raise):  # an import may hang
                    task = self.load()
                files.add_imported()
                self.run(embedded, task, files.changed)
            except KeyboardInterrupt:
                break
            except (EpmTaskError, FileNotFoundError, PermissionError) as error:
                self._refuse(error)
            if not files.changed() and not self.interruption.count:
                self.view.rule("waiting; Ctrl-C ends it")
            changed = files.wait(lambda: self.interruption.count)
            if self.interruption.count:
                break
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            self.view.rule(f"{changed[0].name}{more} changed")
            embedded.faults.renew()
        return FAILED

    def _refuse(self, error: EpmTaskError | OSError) -> None:
        """Say why the task cannot be run as it is now."""
        if isinstance(error, OSError):
            error = EpmTaskError(f"{error.filename} cannot be read", error.strerror or "")
        problem = str(error)
        if self.as_json:
            show_json(document(Run("", "", ""), problem))
        self.view.say(printable(f"epm-task: {problem}"))


def _wait(
    started: StartedRun,
    interruption: Interruption,
    env: dict[str, str],
    changed: Callable[[], object],
) -> Run:
    """Wait for the end; a signal, or a change, is passed on to the task, a second signal kills it.

    Once a debugger has begun, Ctrl-C is for that alone, and no change ends it.
    """
    asked_at = None
    while True:
        with suppress(TimeoutError):
            return started.wait(_POLL_SECONDS)
        debugged = begun(env)
        if not (interruption.count or asked_at or (changed() and not debugged)):
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
    view.progress.forget()
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
    return ended._replace(exit_code=int(ExitCode.USAGE), problem=problem) if problem else ended


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
        for line in program_text(run.stderr).splitlines()
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
