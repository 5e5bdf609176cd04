"""Remember what was seen of each run, as the console shows it: a row, a time line, its details."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.levels import INFORMATION, NUMBERS, word_for
from epm_task.contract.program_text import program_text
from epm_task.contract.record import Record
from epm_task.contract.secrets import mask_text
from epm_task.exit_code import describe
from epm_task.simulator.recording import mask_value

if TYPE_CHECKING:
    from epm_task.simulator.broker import Message
    from epm_task.simulator.jobs.run import LiveRun, Run
    from epm_task.simulator.trace import TraceEvent

#: Of one run: decisions; of each of its outputs, the last bytes.
_MOST_DECISIONS: Final = 300
_OUTPUT_BYTES: Final = 64 << 10
#: Of a message, in bytes; the recording of the agent has it whole.
_PAYLOAD_BYTES: Final = 128 << 10
#: Of a sentence of the agent, in which a name may be as long as its author likes.
_SENTENCE_CHARACTERS: Final = 2000
#: Records of one run that are told from their copies on stderr.
_MOST_IDENTITIES: Final = 100_000
#: Of its records on stderr, those that may come over the broker too.
_MOST_MIRRORED: Final = 1000
#: A task may ask for its registration many times.
_MOST_POINTS: Final = 100

#: Fields of a record that hold lines of a program.
_TRACES: Final = ("stack", "stacks", "exception")


def iso(seconds: float) -> str:
    """Return a moment, in seconds since the epoch, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class SeenRun:
    """What was seen of one run, bounded; it may still go on."""

    def __init__(self, live: LiveRun) -> None:
        self._run = live.run
        self.id: Final = live.run.run_id
        self.job: Final = live.job
        self.started_job: Final = live.run.job_id  #: Before an alternative took its place.
        self.began: Final = time.time()
        self.records: int = 0
        self.messages: int = 0
        self._decisions: deque[dict[str, Any]] = deque(maxlen=_MOST_DECISIONS)
        self._told = 0
        self._points: list[dict[str, Any]] = []
        self._times: dict[str, float] = {}
        self._denied = 0
        self._output = {"stdout": bytearray(), "stderr": bytearray()}
        self._complains = False
        self._known: set[object] = set()
        self._mirrored: dict[object, Record] = {}
        self.ended_at: float | None = None

    @property
    def job_id(self) -> str:
        """The job that runs, which may be the alternative of the one that was started."""
        return self._run.job_id

    @property
    def registered(self) -> bool:
        """Whether the agent has served it as a registered process."""
        return self._run.registration.seconds is not None

    def event(self, event: TraceEvent) -> None:
        """Take a decision of the agent that concerns it."""
        self._told += 1
        self._decisions.append(
            {
                "at": iso(event.at),
                "what": said(event.what),
                "denied": event.denied,
                "reason": said(event.reason),
            }
        )
        early = event.kind == "api" and not self.registered
        times = event.facts.get("times", 1)
        self._denied += times if event.denied and not early and isinstance(times, int) else 0
        if point := _point_of(event, registered="registered" in self._times):
            self._times.setdefault(point, event.at)
            if point in {"flush", "exit"}:
                self._times[point] = event.at
            if len(self._points) < _MOST_POINTS:
                at = round(max(0.0, event.at - self.began), 3)
                self._points.append({"at": at, "what": point, "text": said(str(event))})

    def line(self, stream: str, line: bytes) -> dict[str, Any] | None:
        """Take a line of its output; return the record in it, when it is to be shown now.

        That of a task with a broker waits for the one that comes there, in its order.
        """
        tail = self._output[stream]
        tail += line + b"\n"
        del tail[:-_OUTPUT_BYTES]
        record = Record.from_line(line) if stream == "stderr" else None
        if record is None:
            self._complains |= stream == "stderr" and bool(line.strip())
            return None
        if "broker" in self._times and len(self._mirrored) < _MOST_MIRRORED and record.identity:
            if record.identity not in self._known:
                self._mirrored[record.identity] = record
            return None
        return self.record(record)

    def record(self, record: Record) -> dict[str, Any] | None:
        """Take a record; return what the page shows of it, None when it was seen before."""
        if record.identity in self._known:
            return None
        self._mirrored.pop(record.identity, None)
        if record.identity and len(self._known) < _MOST_IDENTITIES:
            self._known.add(record.identity)
        self.records += 1
        return shown_record(record, self.job_id, self.id)

    def end(self, run: Run) -> list[dict[str, Any]]:
        """Take the end; return the records that were on stderr only."""
        left = [found for each in list(self._mirrored.values()) if (found := self.record(each))]
        for name in self._output:  # where much was written, not each line was told
            data = b"".join(getattr(task, name) for task in run.tasks)[-_OUTPUT_BYTES:]
            if dropped := sum(getattr(task, f"{name}_dropped") for task in run.tasks):
                data += b"\n(%d bytes more were not kept)\n" % dropped
            self._output[name] = bytearray(data)
        tasks = [replace(task, stdout=b"", stderr=b"") for task in run.tasks]
        self._run = replace(run, tasks=tasks, records=[], messages=[], trace=[])
        self.ended_at = time.time()
        early = run.registration.seconds is None
        self._denied += sum(event.kind == "api" for event in run.denials) if early else 0
        self._known.clear()
        return left

    def row(self) -> dict[str, Any]:
        """Return its line in the list of runs."""
        run, ended = self._run, self.ended_at is not None
        return {
            "id": self.id,
            "jobId": self.job_id,
            "trigger": run.trigger,
            "startedAt": iso(self.began),
            "seconds": round(run.seconds, 3) if ended else None,
            "ended": ended,
            "exitCode": run.exit_code if ended else None,
            "exitName": self.exit_name if ended else None,
            "records": self.records,
            "messages": self.messages,
            "denied": self._denied,
            "stderr": self._complains,
            "phases": self._phases(),
        }

    def outcome(self) -> dict[str, Any]:
        """Return how it ended, for its job."""
        return {
            "lastRun": self.id,
            "lastExit": self._run.exit_code,
            "lastExitName": self.exit_name,
            "lastEnded": iso(self.ended_at or time.time()),
        }

    @property
    def exit_name(self) -> str:
        """The name of its exit code; `skipped` for a run in which nothing was run."""
        return "skipped" if self._run.skipped else describe(self._run.exit_code)

    def details(self, records: list[Any], messages: list[Any]) -> dict[str, Any]:
        """Return all that is known, with those records and messages that are still kept."""
        run = self._run
        return {
            "run": self.row(),
            "points": self._points,
            "records": records,
            "messages": messages,
            "stdout": _text(self._output["stdout"]),
            "stderr": _text(self._output["stderr"]),
            "decisions": list(self._decisions),
            "document": mask_value(dict(self.job)),
            "context": mask_value(dict(run.context)),
            "result": mask_value(run.result),
            "problem": mask_text(run.problem),
            "skipped": run.skipped,
            "truncated": {
                "records": self.records - len(records),
                "messages": self.messages - len(messages),
                "decisions": self._told - len(self._decisions),
            },
        }

    def _phases(self) -> list[dict[str, Any]]:
        """Return how the time was spent, in seconds of the run, as far as it is seen from outside.

        The handler is what is between the connection to the broker and its end, without a broker
        what is left.
        """
        times = self._times
        begin = times.get("broker", times.get("registered", times.get("started")))
        spans = (
            ("register", times.get("started"), times.get("registered")),
            ("connect", times.get("registered"), times.get("broker")),
            ("handler", begin, times.get("flush", times.get("exit"))),
            ("flush", times.get("flush"), times.get("exit")),
        )
        return [
            {"name": name, "from": round(start - self.began, 3), "to": round(end - self.began, 3)}
            for name, start, end in spans
            if start is not None and end is not None and start <= end
        ]


def _point_of(event: TraceEvent, *, registered: bool) -> str:
    """Return what a decision is on the time line of a run, "" for most."""
    if event.kind == "api" and event.facts.get("tier") == "Plugin":
        if event.facts.get("status") == HTTPStatus.OK:
            return "" if registered else "registered"
        return "403" if event.denied else ""
    return _POINTS.get((event.kind, event.action), "")


_POINTS: Final = {
    ("job", "process_started"): "started",
    ("mqtt", "connected"): "broker",
    ("mqtt", "disconnected"): "flush",
    ("job", "process_ended"): "exit",
}


def shown_record(record: Record, job_id: str, run_id: str | None) -> dict[str, Any]:
    """Return what the page shows of a record; the agent knows better whose it is."""
    try:
        fields = mask_value(dict(record.properties))
    except RecursionError:
        fields = {"properties": "nested too deeply to be shown"}
    traces = [str(fields.pop(name)) for name in _TRACES if fields.get(name)]
    level = NUMBERS.get(record.level.casefold(), INFORMATION)
    return {
        "at": _moment(record.timestamp),
        "level": word_for(level),
        "jobId": job_id,
        "runId": run_id,
        "message": mask_text(record.message),
        "fields": fields,
        "exception": "\n".join(traces) or None,
        "channel": record.source_channel,
    }


def _moment(text: str) -> str:
    """Return the time that a task gave a record, now when it gave none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        return iso(time.time())


def shown_message(message: Message) -> dict[str, Any]:
    """Return what the page shows of a message on another topic than that of records."""
    payload = message.payload[:_PAYLOAD_BYTES]
    try:
        text = json.dumps(mask_value(json.loads(payload)), ensure_ascii=False)
    except (ValueError, RecursionError):
        text = mask_text(payload.decode("utf-8", "replace"))
    return {
        "at": iso(time.time()),
        "topic": message.topic,
        "payload": text if payload == message.payload else f"{text}…",
        "qos": message.qos,
        "runId": message.run_id,
        "jobId": message.job_id,
    }


def said(text: str) -> str:
    """Return a sentence of the agent, secrets masked by their names, bounded."""
    return mask_text(text[:_SENTENCE_CHARACTERS])


def _text(output: bytearray) -> str:
    return mask_text(program_text(output))
