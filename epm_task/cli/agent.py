"""`epm-task agent`: run an agent in a box until it is stopped."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from epm_task.cli import options
from epm_task.cli.inputs import read_faults, read_settings
from epm_task.cli.interruption import stop_signals_to
from epm_task.cli.output import Failure, LiveView
from epm_task.contract.levels import NUMBERS
from epm_task.simulator.agent import LocalAgent
from epm_task.simulator.options import AgentOptions

_TRUST = ("exact", "tree")
_HIGHEST_PORT = 65_535


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
_Trust = Annotated[
    str, typer.Option(metavar="exact|tree", help="Launched processes, or their children too.")
]
_RegistrationDelay = Annotated[
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


def agent(  # noqa: PLR0913  # each is an option of the command line
    *,
    root: _Root,
    https_port: _HttpsPort = None,
    http_port: _HttpPort = None,
    mqtt_port: _MqttPort = 0,
    trust: _Trust = "exact",
    registration_delay: _RegistrationDelay = "0",
    log_level: _LogLevel = "Trace",
    setting: options.Setting = None,
    settings: options.Settings = None,
    condition: _Condition = None,
    deny_visibly: _DenyVisibly = False,
    stable_ca: _StableCa = False,
    fault: options.Fault = None,
    faults: options.Faults = None,
    record: options.Record = None,
    trace: options.Trace = None,
    as_json: options.AsJson = False,
) -> None:
    """Run an agent in a box until Ctrl-C or SIGTERM; jobs, settings and logs stay in its root.

    It prints where everything is, then every decision on stderr.

    Example: epm-task agent --root ./agent --https-port 6889 --mqtt-port 8675 --trust tree
    """
    if trust not in _TRUST:
        raise Failure(f"--trust {trust} is unknown", fix="choose exact or tree")
    chosen = AgentOptions(
        https_port=https_port,
        http_port=http_port,
        mqtt_port=mqtt_port,
        trust="tree" if trust == "tree" else "exact",
        registration_delay=_delay(registration_delay),
        log_level=_level(log_level),
        settings=read_settings(settings, setting or ()),
        conditions=dict(map(_condition, condition or ())),
        deny_visibly=deny_visibly,
        stable_ca=stable_ca,
        faults=read_faults(faults, fault or ()),
        record_file=record,
        trace_file=trace,
    )
    asyncio.run(_serve(LocalAgent(root.absolute(), chosen), as_json=as_json))


async def _serve(local: LocalAgent, *, as_json: bool) -> None:
    view = LiveView(verbose=True)
    local.trace.subscribe(view.event)
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    with stop_signals_to(lambda *_: loop.call_soon_threadsafe(stopped.set)):
        async with local:
            _announce({**local.facts(), "pid": os.getpid()}, as_json=as_json)
            await stopped.wait()
            view.say("stopping; running tasks are ended first")


def _announce(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):<{width}}  {value}")


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


def _level(text: str) -> str:
    if text.casefold() not in NUMBERS:
        known = ", ".join(word.capitalize() for word in NUMBERS)
        raise Failure(f"--log-level {text} is unknown", fix=f"choose one of {known}")
    return text.capitalize()


def _condition(text: str) -> tuple[str, bool]:
    job, equals, value = text.partition("=")
    if not equals or value.lower() not in {"true", "false"}:
        raise Failure(f"--condition {text} has another form", fix="write JOB=true or JOB=false")
    return job, value.lower() == "true"
