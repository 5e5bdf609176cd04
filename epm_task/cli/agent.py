"""`epm-task agent`: run an agent in a box, with jobs and settings, until it is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from epm_task.cli.inputs import one_of, read_faults, read_settings
from epm_task.cli.interruption import stop_signals_to
from epm_task.cli.options import (
    AsJson,
    Fault,
    FaultsFile,
    RecordFile,
    Setting,
    Settings,
    TraceFile,
    Verbose,
    WithConsole,
)
from epm_task.cli.output import Failure, LiveView, failed, harmless, show_json
from epm_task.cli.run import TrustLevel
from epm_task.contract.levels import NUMBERS
from epm_task.contract.record import Record, printable, view
from epm_task.contract.secrets import mask_text
from epm_task.exit_code import ExitCode
from epm_task.simulator.agent import LocalAgent
from epm_task.simulator.options import AgentOptions
from epm_task.simulator.processes.registry import Trust

if TYPE_CHECKING:
    from epm_task.contract.run_history import EndedRun
    from epm_task.simulator.jobs.run import Publication, RunRequest
    from epm_task.simulator.trace import TraceEvent

_HIGHEST_PORT = 65_535

#: Of one job and kind: a task that writes more than people can read must not hold the agent up. Its
#: log has all records.
_LINES_PER_SECOND = 100
#: In the place of a job.
_AGENT = "agent"
#: What the lines of a run say in another way, or what each run has.
_ROUTINE = frozenset(
    {"run_started", "process_started", "process_ended", "connected", "disconnected", "published"}
)

_Root = Annotated[
    Path, typer.Option(help="The agent's folder, in the vendor's layout; made when missing.")
]
_HttpsPort = Annotated[
    int | None,
    typer.Option(min=0, max=_HIGHEST_PORT, help="0: any free one; else that of appsettings.json."),
]
_HttpPort = Annotated[
    int | None, typer.Option(min=0, max=_HIGHEST_PORT, help="The same for plain HTTP.")
]
_MqttPort = Annotated[int, typer.Option(min=0, max=_HIGHEST_PORT, help="0: any free one.")]
_ConsolePort = Annotated[
    int | None,
    typer.Option(min=0, max=_HIGHEST_PORT, help="For --console, which it implies; else any free."),
]
_AgentDelay = Annotated[
    str, typer.Option(metavar="SECONDS|MIN-MAX", help="Until a process is registered.")
]
_LogLevel = Annotated[
    str, typer.Option(help="Lowest level in KeeperLogger.log; the field's is Warning.")
]
_Condition = Annotated[
    list[str] | None,
    typer.Option(metavar="JOB=true|false", help="What a condition is taken for; repeatable."),
]
_DenyVisibly = Annotated[
    bool, typer.Option("--deny-visibly", help="Answer denials with 0x87 in MQTT 5.")
]
_StableCa = Annotated[
    bool, typer.Option("--stable-ca", help="Keep the CA when the agent starts again.")
]

_Certificate = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM: certificate, chain and key to show, such as a site's."),
]


def agent(  # noqa: PLR0913  # each is an option of the command line
    *,
    root: _Root,
    https_port: _HttpsPort = None,
    http_port: _HttpPort = None,
    mqtt_port: _MqttPort = 0,
    trust: TrustLevel = "exact",
    registration_delay: _AgentDelay = "0",
    log_level: _LogLevel = "Trace",
    setting: Setting = None,
    settings: Settings = None,
    condition: _Condition = None,
    deny_visibly: _DenyVisibly = False,
    stable_ca: _StableCa = False,
    certificate: _Certificate = None,
    fault: Fault = None,
    faults: FaultsFile = None,
    record: RecordFile = None,
    trace: TraceFile = None,
    console: WithConsole = False,
    console_port: _ConsolePort = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Run an agent in a box until Ctrl-C or SIGTERM; jobs, settings and logs stay in its root.

    It prints where everything is, then on stderr what happens: runs with their records and other
    lines, refusals, and what administrators ask. Ctrl-C ends with 130, SIGTERM with 0.

    Example: epm-task agent --root ./agent --https-port 6889 --mqtt-port 8675 --trust tree
    """
    chosen = AgentOptions(
        https_port=https_port,
        http_port=http_port,
        mqtt_port=mqtt_port,
        trust=one_of("--trust", trust, get_args(Trust)),
        registration_delay=_delay(registration_delay),
        log_level=one_of("--log-level", log_level, NUMBERS).capitalize(),
        settings=read_settings(settings, setting or ()),
        conditions=dict(map(_condition, condition or ())),
        deny_visibly=deny_visibly,
        stable_ca=stable_ca,
        certificate=certificate,
        faults=read_faults(faults, fault or ()),
        record_file=record,
        trace_file=trace,
        console_port=0 if console and console_port is None else console_port,
    )
    local, view = LocalAgent(root.absolute(), chosen), AgentView(verbose=verbose)
    number = asyncio.run(_serve(local, view, as_json=as_json))
    return ExitCode.SIGINT if number == signal.SIGINT else ExitCode.OK


class AgentView(LiveView):
    """Shows an agent on stderr: each line with its time, and with the job that it is about."""

    def start(self, job: Mapping[str, Any], request: RunRequest) -> RunRequest:
        """Show that a run of *job* begins; return the request with what shows its outputs."""
        whose = str(job.get("id", ""))
        self._tell(whose, "started", f"by {request.trigger}")
        return request._replace(
            on_line=partial(self._line_of, whose),
            on_record=partial(self._record_of, whose),
            on_message=partial(self._message_of, whose),
        )

    def end(self, run: EndedRun) -> None:
        """Show how a run has ended."""
        self._tell(run.job_id, "ended", run.skipped or f"{run.seconds:.2f} s; exit {run.end}")

    def event(self, event: TraceEvent) -> None:
        """Show a decision; without *verbose* none that the other lines of a run tell."""
        routine = event.action in _ROUTINE or event.facts.get("tier") == "Plugin"
        hidden = routine and not (self._verbose or event.denied or failed(event))
        if event.kind == "record" or hidden or not self._is_worth_a_line(event):
            return
        if event.denied:
            self._tell(str(event.facts.get("job_id") or _AGENT), "denied", str(event), event.at)
        else:
            self._tell(_AGENT, event.kind, str(event), event.at)

    def _line_of(self, whose: str, stream: str, line: bytes) -> None:
        if stream != "stderr" or Record.from_line(line) is not None:
            return
        if self._has_room(f"lines of {whose}", _LINES_PER_SECOND):
            self._tell(whose, "stderr", mask_text(harmless(line)))

    def _record_of(self, whose: str, record: Record) -> None:
        if self._has_room(f"records of {whose}", _LINES_PER_SECOND):
            text = view(record._asdict(), color=self._color, whose=whose)
            self._write(mask_text(text))

    def _message_of(self, whose: str, message: Publication) -> None:
        if self._has_room(f"messages of {whose}", _LINES_PER_SECOND):
            payload = message.cut() or json.dumps(message.payload)
            self._tell(whose, "published", mask_text(f"{message.topic}  {payload}"))

    def _tell(self, whose: str, what: str, text: str, at: float | None = None) -> None:
        moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
        clock = moment.isoformat(timespec="milliseconds")[11:23]
        line = f"{clock}  {printable(whose)}  {what:<8}  {printable(text)}"
        self._write(self._dim(line) if whose == _AGENT else line)


async def _serve(local: LocalAgent, view: AgentView, *, as_json: bool) -> int:
    """Return the number of the signal that stopped the agent."""
    local.trace.subscribe(view.event)
    local.on_start = view.start
    loop, number = asyncio.get_running_loop(), 0
    signals: asyncio.Queue[int] = asyncio.Queue()
    with stop_signals_to(lambda each, _: loop.call_soon_threadsafe(signals.put_nowait, each)):
        async with local:
            local.history.on_end = view.end
            if local.console:
                local.console.on_address = lambda address: view.say(f"console: {address}")
            facts = {**local.facts(), "pid": os.getpid()}
            page = f"; its page is {facts['console']}" if "console" in facts else ""
            view.say(f"the agent is ready; Ctrl-C stops it{page}")
            if as_json:
                show_json(facts)
            else:
                typer.echo(
                    "\n".join(f"{name.replace('_', ' '):<11}  {facts[name]}" for name in facts)
                )
            while not number:
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        number = await signals.get()
                view.settle(after=0 if number else 1)  # each second has its own first lines
            view.say("stopping; running tasks are ended first")
    return number


def _delay(text: str) -> float | tuple[float, float]:
    low, dash, high = text.partition("-")
    try:
        shortest, longest = float(low), float(high if dash else low)
    except ValueError:
        shortest, longest = -1.0, -1.0
    if not 0 <= shortest <= longest:
        raise Failure(
            f"--registration-delay {text} is not a number of seconds", fix="write 0.5, or 0.1-2"
        )
    return (shortest, longest) if dash else shortest


def _condition(text: str) -> tuple[str, bool]:
    job, equals, value = text.partition("=")
    if not equals or value.lower() not in {"true", "false"}:
        raise Failure(f"--condition {text} has another form", fix="write JOB=true or JOB=false")
    return job, value.lower() == "true"
