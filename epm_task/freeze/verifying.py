"""Verifying starts a program as an agent would, and proves that it behaves as a task must."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from epm_task.exit_code import ExitCode, describe
from epm_task.freeze.freeze_error import FreezeError
from epm_task.freeze.install_check import Check, judge
from epm_task.freeze.stage import snapshot, stage, touched
from epm_task.runtime.manifest import differences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from epm_task.freeze.installed import Installed
    from epm_task.freeze.stage import Seen, Stage
    from epm_task.simulator.run import Run

#: Starts of each kind; the fastest counts, because noise only ever adds.
_ROUNDS: Final = 5
#: The goal is 1.15 (`benchmarks/frozen.py`); this is what a busy machine may make of it.
_SLOWEST: Final = 1.5
#: Long enough that a program is still waiting for its registration when it is asked to stop.
_UNREGISTERED_SECONDS: Final = 60.0
_FIRST_REQUEST_SECONDS: Final = 15.0
#: What the simulator gives a task between SIGTERM and SIGKILL.
_STOP_SECONDS: Final = 5.0


def verify(
    program: Installed,
    *,
    arguments: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    source: Path | None = None,
) -> list[Check]:
    """Return what was seen of the program.

    Args:
        program: The program.
        arguments: Values for the parameters of its task.
        settings: Settings that its task reads, by plugin and key.
        source: The task file, for comparing the start-up times.

    Raises:
        FreezeError: A required parameter has no value. One that takes a path gets an empty folder.
    """
    missing = missing_arguments(program, arguments)
    _check_arguments(program, missing)
    with stage(program, arguments, settings or {}, paths=tuple(missing)) as scene:
        before = snapshot(scene.folders)
        seen = scene.run()
        checks = [
            _manifest(program),
            *(Check("arguments", "ok", f"{option}=(an empty folder)") for option in missing),
            _process(seen),
            _registered(seen.run),
            _connected(seen.run),
            _records(seen.run),
            _stdout(seen.run),
            _left_behind(seen.run),
            _exit_code(seen.run),
        ]
        if checks[-1].state == "ok":
            checks.append(_stop(scene, ours=program.manifest is not None))
            scene.run(homeless=False)
            checks.append(_files(touched(before, snapshot(scene.folders))))
            checks.append(_start_up(scene, source))
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
            f"give values after two hyphens: epm-task verify {program.executable} -- {example}",
        )


def _manifest(program: Installed) -> Check:
    if program.manifest is None or program.folder is None:
        return Check("manifest", "skipped", "the program has none")
    found = differences(program.folder, program.manifest)
    seen = f"{len(program.manifest['files'])} files as built"
    problem = f"{'; '.join(found[:3])}; build the program again"
    return judge("manifest", not found, seen, problem)


def _process(seen: Seen) -> Check:
    launched = seen.run.pid
    if launched is None:
        return Check("process", "failed", _reason(seen.run))
    asked = _who_asked(seen.run)
    if asked == {launched}:
        detail = f"launched, asking and connecting are one process, PID {launched}"
        return Check("process", "ok", detail)
    if seen.children:
        child = min(seen.children)
        problem = (
            f"the program runs in process {child}, a child of the launched process {launched}, "
            "as a one-file executable does; the agent trusts the PID that it launched, so build "
            "it as one folder"
        )
        return Check("process", "failed", problem)
    others = ", ".join(map(str, sorted(asked - {launched})))
    if others:
        problem = f"the agent launched PID {launched}, but PID {others} asked for settings"
    else:
        problem = f"PID {launched} never asked for settings: {_last_line(seen.run)}"
    return Check("process", "failed", problem)


def _registered(run: Run) -> Check:
    tries, seconds = run.registration.tries, run.registration.seconds
    detail = f"served {(seconds or 0) * 1000:.0f} ms after the start, at request {tries}"
    problem = f"never served, in {tries} requests: {_last_line(run)}"
    return judge("registration", seconds is not None, detail, problem)


def _connected(run: Run) -> Check:
    mqtt = [event for event in run.trace if event.kind == "mqtt"]
    refused = [event for event in mqtt if event.action == "refused"]
    accepted = [event for event in mqtt if event.action == "connected"]
    if refused:
        return Check("broker", "failed", str(refused[0]))
    if not accepted:
        return Check("broker", "skipped", "the program did not connect")
    return Check("broker", "ok", accepted[0].what)


def _records(run: Run) -> Check:
    denied = [event for event in run.denials if event.kind == "mqtt"]
    if denied:
        return Check("records", "failed", f"{denied[0]}; declare the topic in the job")
    missing = len(run.records) - run.acknowledged
    seen = f"{run.acknowledged} acknowledged"
    return judge("records", missing <= 0, seen, f"{missing} stand on stderr only")


def _stdout(run: Run) -> Check:
    if not run.stdout.strip():
        return Check("stdout", "ok", "nothing, so the agent takes no result")
    problem = "it is not exactly one JSON object, so the agent cannot merge it; print to stderr"
    return judge("stdout", run.result is not None, "one JSON object", problem)


def _left_behind(run: Run) -> Check:
    left = sum(task.left_behind for task in run.job_run.tasks)
    problem = f"{left} were left behind; a task does its work and exits"
    return judge("processes", not left, "none was left behind", problem)


def _exit_code(run: Run) -> Check:
    ended = f"{run.exit_code} ({describe(run.exit_code)})"
    if run.exit_code == 0:
        return Check("exit code", "ok", ended)
    return Check("exit code", "failed", f"{ended}: {_last_line(run)}")


def _stop(scene: Stage, *, ours: bool) -> Check:
    """Ask the program to stop while it waits for its registration: there every task can be met."""
    mark = scene.agent.trace.mark()
    started = scene.start(registration_delay=_UNREGISTERED_SECONDS)
    deadline = time.monotonic() + _FIRST_REQUEST_SECONDS
    while started.running and not _asked_since(scene, mark) and time.monotonic() < deadline:
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
        return Check("stop", "failed", f"SIGTERM did not end it within {_STOP_SECONDS:.0f} s")
    seconds = time.monotonic() - asked_at
    ended = f"{seconds * 1000:.0f} ms after SIGTERM, exit code {run.exit_code}"
    expected = f"{ended}; {int(ExitCode.SIGTERM)} was expected"
    return judge("stop", not ours or run.exit_code == ExitCode.SIGTERM, ended, expected)


def _files(found: list[str]) -> Check:
    seen = "nothing was written: program folder, working directory, HOME, TMPDIR"
    return judge("files", not found, seen, f"the program touched {', '.join(found[:3])}")


def _start_up(scene: Stage, source: Path | None) -> Check:
    program: list[float] = []
    plain: list[float] = []
    for _ in range(_ROUNDS):
        program.append(scene.run().run.seconds)
        if source is not None:
            plain.append(scene.run(source=source).run.seconds)
    best = f"{min(program) * 1000:.0f} ms from start to exit"
    if not plain:
        return Check("start-up", "ok", best)
    ratio = min(program) / min(plain)
    seen = f"{best}, {ratio:.2f} times its source"
    return judge("start-up", ratio <= _SLOWEST, seen, f"{seen}; at most {_SLOWEST} is right")


def _who_asked(run: Run) -> set[int]:
    pids = {event.facts.get("pid") for event in run.trace if event.kind == "api"}
    return {pid for pid in pids if isinstance(pid, int)}


def _asked_since(scene: Stage, mark: int) -> bool:
    return any(event.kind == "api" for event in scene.agent.trace.since(mark))


def _reason(run: Run) -> str:
    reasons = [event.reason for event in run.trace if event.reason]
    return f"the program could not be started: {reasons[0] if reasons else _last_line(run)}"


def _last_line(run: Run) -> str:
    lines = run.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing on stderr"
