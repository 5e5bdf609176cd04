"""Write and read `Log/runs.jsonl`: one JSON line for each run that has ended.

The agent of this package writes it. The vendor documents no such file, so with another agent
there may be none, and the end of a run cannot be seen from outside.
"""

from __future__ import annotations

import json
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from epm_task.contract.fields import (
    anything,
    check_fields,
    flag,
    list_of,
    number,
    record,
    text,
    whole,
)
from epm_task.contract.json_text import BadJson, parse_object
from epm_task.contract.program_text import program_text
from epm_task.contract.record import printable, read_fields, view
from epm_task.contract.secrets import mask_text
from epm_task.errors import EpmTaskError
from epm_task.exit_code import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Of the end of a failed task's stderr, in UTF-8.
_TAIL_BYTES: Final = 4096


class TaskEnd(TypedDict, total=False):
    """How one task of a run ended, in the words of the file.

    `exitCode` is negative for a signal, `seconds` is wall time, `skipped` says why the task was not
    run, and `leftBehind` counts the processes that it left running. `startError` is null unless the
    program could not be started; `stderrTail` is empty unless the task failed.
    """

    id: str
    pid: int | None
    exitCode: int
    seconds: float
    timedOut: bool
    skipped: str
    leftBehind: int
    stdoutBytes: int
    stderrBytes: int
    stderrTail: str
    startError: dict[str, str] | None


class StartFailure(NamedTuple):
    """Why a program could not be started, in the words of an `EpmTaskError`, secrets masked."""

    what: str
    why: str = ""
    fix: str = ""

    @classmethod
    def of(cls, error: Exception) -> StartFailure:
        """Return what an error says."""
        if isinstance(error, EpmTaskError):
            return cls(*map(mask_text, (error.what, error.why, error.fix)))
        return cls("the program cannot be started", mask_text(str(error)))


class FailedTask(NamedTuple):
    """A task of a run that did not end with 0.

    Attributes:
        task_id: Its id in the job document.
        exit_code: Negative for a signal.
        start_error: Why its program could not be started, None when it could.
        stderr_tail: The last 4 KiB that it wrote on stderr, secrets masked.
    """

    task_id: str
    exit_code: int
    start_error: StartFailure | None = None
    stderr_tail: str = ""

    def document(self) -> dict[str, Any]:
        """Return all of it as values of JSON."""
        error = self.start_error._asdict() if self.start_error else None
        return {**self._asdict(), "start_error": error}

    @property
    def heading(self) -> str:
        """What `stderr_lines` are, for people."""
        return (
            f"task {printable(self.task_id)} ended with {self.exit_code}; its last lines on stderr"
        )

    @property
    def stderr_lines(self) -> list[str]:
        """The end of stderr, for a terminal: no control characters, records as people read them."""
        return [_shown(line) for line in self.stderr_tail.splitlines() if line.strip()]


def _shown(line: str) -> str:
    fields = read_fields(line.encode("utf-8", "replace")) if line.startswith("{") else None
    return printable(line) if fields is None else view(fields, color=False)


def tail_text(end: bytes, *, cut: bool) -> str:
    """Return the last 4 KiB of a stream as text, secrets masked, from the start of a line.

    *end* holds its last bytes, more than those; with *cut* others came before, so that the name of
    a first secret in it may be missing.
    """
    if cut:
        end = b"".join(re.split(rb"\s", end, maxsplit=1)[1:])
    masked = mask_text(program_text(end)).encode("utf-8", "replace")
    tail = masked[-_TAIL_BYTES:]
    if len(tail) < len(masked):
        tail = tail.split(b"\n", 1)[-1] or tail
    return tail.decode("utf-8", "ignore")


class EndedRun(NamedTuple):
    """How one run ended.

    Attributes:
        run_id: The agent's id of the run.
        job_id: The job.
        exit_code: The first that was not 0, else 0; negative for a signal.
        seconds: Wall time.
        trigger: What made it run: `Startup`, `interval`, `trigger`, ….
        context: The event context, secrets masked by their names.
        ended: When, ISO 8601.
        skipped: Why the agent did not run it; empty when it did.
        problem: Why a task could not be started; empty when all could.
        failures: The tasks that failed.
        timed_out: Whether the agent ended a task at its time-out.
        denials: What the agent refused meanwhile, in its own words.
        result: The JSON object on stdout, or None.
        records: How many records the broker took.
        record_runs: The `runId`s of those records, which a task gives itself.
        published: How many messages the broker took beside the records.
        messages: The first of them: topic and payload; a long payload as a cut text.
        tries: How often it asked until it was registered.
        registered_seconds: How long that took; None when it never was.
    """

    run_id: str
    job_id: str
    exit_code: int
    seconds: float
    trigger: str = ""
    context: Mapping[str, Any] = MappingProxyType({})
    ended: str = ""
    skipped: str = ""
    problem: str = ""
    timed_out: bool = False
    failures: tuple[FailedTask, ...] = ()
    denials: tuple[str, ...] = ()
    result: dict[str, Any] | None = None
    records: int = 0
    record_runs: tuple[str, ...] = ()
    published: int = 0
    messages: tuple[dict[str, Any], ...] = ()
    tries: int = 0
    registered_seconds: float | None = None

    def document(self) -> dict[str, Any]:
        """Return all of it as values of JSON."""
        failures = [failure.document() for failure in self.failures]
        return {**self._asdict(), "context": dict(self.context), "failures": failures}

    @property
    def shell_exit_code(self) -> int:
        """The exit code as a shell would see it: 128 plus the signal for a killed process."""
        return 128 - self.exit_code if self.exit_code < 0 else self.exit_code

    @property
    def end(self) -> str:
        """Its exit code with the name, for people, and whether the agent ended it."""
        late = ", ended by the agent at its time-out" if self.timed_out else ""
        return f"{self.exit_code} ({describe(self.exit_code)}){late}"

    def last_words(self) -> list[str]:
        """Return what the failed tasks wrote last on stderr, line by line, for a terminal."""
        found = [(task.heading, task.stderr_lines) for task in self.failures if task.stderr_lines]
        return [line for head, lines in found for line in (f"{head}:", *(f"  {x}" for x in lines))]


def write_run(run: EndedRun, tasks: list[TaskEnd]) -> bytes:
    """Return the line of a run, without its line end."""
    document = {
        "id": run.run_id,
        "jobId": run.job_id,
        "trigger": run.trigger,
        "context": dict(run.context),
        "ended": run.ended,
        "exitCode": run.exit_code,
        "seconds": round(run.seconds, 3),
        "skipped": run.skipped,
        "problem": run.problem,
        "result": run.result,
        "tasks": tasks,
        "denials": run.denials,
        "records": run.records,
        "recordRuns": run.record_runs,
        "published": run.published,
        "messages": run.messages,
        "registration": {"tries": run.tries, "seconds": run.registered_seconds},
    }
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")


_CODE: Final = whole(-(2**31), 2**32 - 1)
_SAID: Final = text().or_absent()
_COUNT: Final = whole(0, 2**53)
_OBJECT: Final = record({}, others=True)
#: What a line of a run holds, at least, and of which kind each field is that is read.
_TASK: Final = record(
    {
        "id": _SAID,
        "exitCode": _CODE.or_absent(),
        "timedOut": flag().or_absent(),
        "stderrTail": _SAID,
        "startError": record({"what": text(), "why": text(), "fix": text()}, others=True)
        .or_null()
        .or_absent(),
    },
    others=True,
)
_RUN: Final = {
    "id": text(),
    "jobId": text(),
    "exitCode": _CODE,
    "seconds": number().or_absent(),
    "ended": _SAID,
    "skipped": _SAID,
    "problem": _SAID,
    "tasks": list_of(_TASK).or_absent(),
    "denials": list_of(text()).or_absent(),
    "result": anything().or_absent(),
    "trigger": _SAID,
    "context": _OBJECT.or_absent(),
    "records": _COUNT.or_absent(),
    "recordRuns": list_of(text()).or_absent(),
    "published": _COUNT.or_absent(),
    "messages": list_of(record({"topic": text(), "payload": anything()})).or_absent(),
    "registration": record({"tries": _COUNT, "seconds": number().or_null()}).or_absent(),
}


def read_run(line: bytes) -> EndedRun | None:
    """Return the run that a line tells of, None for another kind of line.

    It is a line of a file: a field of another type, or out of bounds, makes it none.
    """
    try:
        found = parse_object(line)
        check_fields(found, _RUN, others=True)
    except BadJson:
        return None
    tasks, result = found.get("tasks", []), found.get("result")
    registration = found.get("registration", {})
    return EndedRun(
        run_id=found["id"],
        job_id=found["jobId"],
        exit_code=found["exitCode"],
        seconds=float(found.get("seconds", 0)),
        ended=found.get("ended", ""),
        skipped=found.get("skipped", ""),
        problem=found.get("problem", ""),
        timed_out=any(task.get("timedOut") for task in tasks),
        failures=tuple(_failure(task) for task in tasks if task.get("exitCode")),
        denials=tuple(found.get("denials", ())),
        result=result if isinstance(result, dict) else None,
        trigger=found.get("trigger", ""),
        context=found.get("context", {}),
        records=found.get("records", 0),
        record_runs=tuple(found.get("recordRuns", ())),
        published=found.get("published", 0),
        messages=tuple(found.get("messages", ())),
        tries=registration.get("tries", 0),
        registered_seconds=registration.get("seconds"),
    )


def _failure(task: dict[str, Any]) -> FailedTask:
    why = task.get("startError")
    return FailedTask(
        task.get("id", ""),
        task["exitCode"],
        StartFailure(why["what"], why["why"], why["fix"]) if why else None,
        task.get("stderrTail", "")[-_TAIL_BYTES:],
    )
