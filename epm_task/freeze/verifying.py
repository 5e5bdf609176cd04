"""Start a program as an agent would, and check that it behaves as a task must."""

from __future__ import annotations

import sys
import time
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.program_text import program_text
from epm_task.exit_code import ExitCode
from epm_task.freeze import FreezeError, tell_nobody
from epm_task.freeze.installed import Check, judge
from epm_task.freeze.sandbox import open_sandbox, snapshot, touched
from epm_task.runtime.manifest import differences
from epm_task.simulator.jobs.history import ended_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from epm_task.freeze import Tell
    from epm_task.freeze.installed import Installed
    from epm_task.freeze.sandbox import Sandbox
    from epm_task.simulator.jobs.run import Run

#: Starts of each kind; the fastest counts, because noise only ever adds.
_ROUNDS: Final = 5
#: The goal is 1.15 (`benchmarks/frozen.py`); more than this is worth a warning.
_SLOWEST: Final = 1.5
#: Long enough that a program is still waiting for its registration when it is asked to stop.
_UNREGISTERED_SECONDS: Final = 60.0
_FIRST_REQUEST_SECONDS: Final = 15.0
#: What the simulator gives a task between SIGTERM and SIGKILL.
_STOP_SECONDS: Final = 5.0
#: How a program is asked to stop, and what one of ours ends with then.
_ASKED, _STOPPED = (
    ("CTRL_BREAK", ExitCode.SIGBREAK) if sys.platform == "win32" else ("SIGTERM", ExitCode.SIGTERM)
)
#: What a program ends with that could not be asked, on Windows, and was killed: 128 + SIGKILL.
_KILLED: Final = 137


def verify(  # noqa: PLR0913  # keywords only, each with a default
    program: Installed,
    *,
    arguments: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    source: Path | None = None,
    start_tolerance: float | None = None,
    tell: Tell = tell_nobody,
) -> list[Check]:
    """Return what was seen of the program; with its *source* the start-up times are compared.

    A start that takes more than *start_tolerance* times that of the source fails; without it one
    that takes long is a warning, as a busy machine does this to a good program.

    *tell* is told how often the program was started.

    Raises:
        FreezeError: A required parameter has no value. One that takes a path gets an empty folder.
    """
    missing = missing_arguments(program, arguments)
    _check_arguments(program, missing)
    starts = count(1)
    total = 3 + _ROUNDS * (1 if source is None else 2)

    def started() -> None:
        """Tell of one more start."""
        tell(next(starts), total, f"verifying {program.command}")

    with open_sandbox(program, arguments, settings or {}, paths=missing) as sandbox:
        before = snapshot(sandbox.folders)
        run, children = sandbox.run()
        started()
        checks = [
            _manifest(program),
            *(Check("arguments", "ok", f"{option}=(an empty folder)") for option in missing),
            *_attestation(sandbox.unattested),
            *_behaviour(run, children),
        ]
        if checks[-1].state == "ok":
            checks.append(_stop(sandbox, ours=program.manifest is not None))
            started()
            sandbox.run(homeless=False)
            started()
            checks.append(_files(touched(before, snapshot(sandbox.folders))))
            checks.append(_start_up(sandbox, source, start_tolerance, started))
    return checks


def missing_arguments(program: Installed, arguments: Sequence[str]) -> dict[str, str]:
    """Return the required options without a value, each with the kind of its value."""
    given = {word.partition("=")[0] for word in arguments}
    required: dict[str, str] = program.task(list(arguments)).get("required", {})
    return {option: kind for option, kind in required.items() if option not in given}


def _check_arguments(program: Installed, missing: Mapping[str, str]) -> None:
    if unknown := [option for option, kind in missing.items() if kind != "path"]:
        example = " ".join(f"{option}=VALUE" for option in missing)
        raise FreezeError(
            f"the task cannot run without {', '.join(unknown)}",
            fix=f"give values after two hyphens: epm-task verify {program.executable} -- {example}",
        )


def _manifest(program: Installed) -> Check:
    if program.manifest is None or program.folder is None:
        return Check("manifest", "skipped", "the program has none")
    found = differences(program.folder, program.manifest)
    seen = f"{len(program.manifest['files'])} files as built"
    problem = f"{'; '.join(found[:3])}; build the program again"
    return judge("manifest", not found, seen, problem)


def _attestation(why: str) -> list[Check]:
    if not why:
        return []
    detail = f"{why}, so the program got --ca-file; a job on such a system needs it, too"
    return [Check("attestation", "warning", detail)]


def _behaviour(run: Run, children: frozenset[int]) -> list[Check]:
    tries, seconds = run.registration.tries, run.registration.seconds
    served = f"served {(seconds or 0) * 1000:.0f} ms after the start, at request {tries}"
    never = f"never served, in {tries} requests: {_last_line(run)}"
    left = sum(task.left_behind for task in run.tasks)
    some_left = f"{left} were left behind; a task does its work and exits"
    ended = ended_run(run).end
    return [
        _process(run, children),
        judge("registration", seconds is not None, served, never),
        _connected(run),
        _records(run),
        _stdout(run),
        judge("processes", not left, "none was left behind", some_left),
        judge("exit code", run.exit_code == 0, ended, f"{ended}: {_last_line(run)}"),
    ]


def _process(run: Run, children: frozenset[int]) -> Check:
    launched = run.pid
    if launched is None:
        failed = [str(event) for event in run.trace if event.action == "not_started"]
        return Check("process", "failed", failed[0] if failed else _last_line(run))
    asked = {event.facts.get("pid") for event in run.trace if event.kind == "api"}
    asked.discard(None)
    if asked == {launched}:
        detail = f"launched, asking and connecting are one process, PID {launched}"
        return Check("process", "ok", detail)
    if children:
        problem = (
            f"the program runs in process {min(children)}, a child of the launched process "
            f"{launched}, as a one-file executable does; the agent trusts the PID that it "
            "launched, so build it as one folder"
        )
    elif others := asked - {launched}:
        pids = ", ".join(sorted(map(str, others)))
        problem = f"the agent launched PID {launched}, but PID {pids} asked for settings"
    else:
        problem = f"PID {launched} never asked for settings: {_last_line(run)}"
    return Check("process", "failed", problem)


def _connected(run: Run) -> Check:
    mqtt = [event for event in run.trace if event.kind == "mqtt"]
    if refused := [str(event) for event in mqtt if event.action == "refused"]:
        return Check("broker", "failed", refused[0])
    if accepted := [event.what for event in mqtt if event.action == "connected"]:
        return Check("broker", "ok", accepted[0])
    return Check("broker", "skipped", "the program did not connect")


def _records(run: Run) -> Check:
    if denied := [str(event) for event in run.denials if event.kind == "mqtt"]:
        return Check("records", "failed", f"{denied[0]}; declare the topic in the job")
    missing = len(run.records) - run.acknowledged
    seen = f"{run.acknowledged} acknowledged"
    return judge("records", missing <= 0, seen, f"{missing} are on stderr only")


def _stdout(run: Run) -> Check:
    if not run.stdout.strip():
        return Check("stdout", "ok", "nothing, so the agent takes no result")
    problem = "it is not exactly one JSON object, so the agent cannot merge it; print to stderr"
    return judge("stdout", run.result is not None, "one JSON object", problem)


def _stop(sandbox: Sandbox, *, ours: bool) -> Check:
    """Ask the program to stop while it waits for its registration: there every task can be met."""
    mark = sandbox.agent.trace.mark()
    started = sandbox.start(registration_delay=_UNREGISTERED_SECONDS)
    deadline = time.monotonic() + _FIRST_REQUEST_SECONDS
    while started.running and time.monotonic() < deadline:
        if any(event.kind == "api" for event in sandbox.agent.trace.since(mark)):
            break
        time.sleep(0.005)
    if not started.running:
        started.wait()
        return Check("stop", "skipped", "the program ended at the first 403, before it was asked")
    asked_at = time.monotonic()
    started.terminate()
    try:
        run = started.wait(_STOP_SECONDS)
    except TimeoutError:
        started.kill()
        started.wait()
        return Check("stop", "failed", f"{_ASKED} did not end it within {_STOP_SECONDS:.0f} s")
    if sys.platform == "win32" and run.exit_code == _KILLED:
        return Check("stop", "skipped", f"without a console nothing can send {_ASKED}")
    seconds = time.monotonic() - asked_at
    ended = f"{seconds * 1000:.0f} ms after {_ASKED}, exit code {run.exit_code}"
    expected = f"{ended}; {int(_STOPPED)} was expected"
    return judge("stop", not ours or run.exit_code == _STOPPED, ended, expected)


def _files(found: list[str]) -> Check:
    seen = "nothing was written: program folder, working directory, HOME, TMPDIR"
    return judge("files", not found, seen, f"the program touched {', '.join(found[:3])}")


def _start_up(
    sandbox: Sandbox, source: Path | None, tolerance: float | None, started: Callable[[], None]
) -> Check:
    program: list[float] = []
    plain: list[float] = []
    for _ in range(_ROUNDS):
        program.append(sandbox.run()[0].seconds)
        started()
        if source is not None:
            plain.append(sandbox.run(source=source)[0].seconds)
            started()
    best = f"{min(program) * 1000:.0f} ms from start to exit"
    if not plain:
        return Check("start-up", "ok", best)
    ratio = min(program) / min(plain)
    seen = f"{best}, {ratio:.2f} times its source"
    if ratio <= (tolerance or _SLOWEST):
        return Check("start-up", "ok", seen)
    if tolerance:
        return Check("start-up", "failed", f"{seen}; --start-tolerance is {tolerance:g}")
    return Check("start-up", "warning", f"{seen}; at most {_SLOWEST} on a quiet machine is right")


def _last_line(run: Run) -> str:
    lines = program_text(run.stderr).strip().splitlines()
    return lines[-1] if lines else "it wrote nothing on stderr"
