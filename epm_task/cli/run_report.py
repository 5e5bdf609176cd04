"""A run report is what `epm-task run` says when the run is over."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from epm_task.exit_code import describe
from epm_task.simulator.log_record import Record

if TYPE_CHECKING:
    from epm_task.simulator.finished_run import Run


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
        "records": [asdict(record) for record in run.records],
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
