"""Watch an agent for the console: take what happens, keep what pages ask for, tell them."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import OrderedDict
from http import HTTPStatus
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.record import Record
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.simulator.console.attention import Attention, settings_name
from epm_task.simulator.console.documents import FAULT_KINDS, JobRuns, Sources, shown_faults
from epm_task.simulator.console.runs import SeenRun, iso, shown_message, shown_record
from epm_task.simulator.console.stream import WRITE_SECONDS, EventStream, Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.broker import Message
    from epm_task.simulator.jobs.run import LiveRun
    from epm_task.simulator.trace import TraceEvent

#: Runs that are kept with their details, and records that a page gets with the state.
_MOST_RUNS: Final = 200
_FIRST_RECORDS: Final = 1000
#: Jobs in the list of a page, which describes each anew: 0.1 ms.
_MOST_JOBS: Final = 1000
#: Plugins and keys of which the last reader is remembered.
_MOST_NAMES: Final = 1000
#: Decisions after which the list of jobs is another one.
_JOBS_CHANGED: Final = frozenset({"saved", "deleted", "loaded"})


class Observer:
    """What is known of an agent; belongs to the thread of its loop, but for `decision`."""

    def __init__(self, sources: Sources) -> None:
        self._sources: Final = sources
        self.stream: Final = EventStream(sources.trace.secrets)
        self._attention: Final = Attention(sources.root.path)
        self._began: Final = time.time()
        self._runs: OrderedDict[str, SeenRun] = OrderedDict()
        self._by_job: dict[str, JobRuns] = {}
        self._kept: Final = Kept()
        self._numbers: Final = count(1)
        self._settings_seen: dict[str, Any] = {}
        self._changed: dict[str, SeenRun] = {}
        self._changed_jobs: set[str] = set()
        self._all_jobs = False
        self._faults: list[dict[str, Any]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._taken: TraceEvent | None = None

    def start(self) -> None:
        """Watch from now on."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._faults = shown_faults(self._sources.faults)
        self._sources.history.observer = self
        self._unsubscribe = self._sources.trace.subscribe(self.decision)

    def stop(self) -> None:
        """Watch no more, and tell the pages that the agent stops."""
        self._unsubscribe()
        self._sources.history.observer = None
        if self._timer is not None:
            self._timer.cancel()
        self._tell()
        self.stream.end()

    def begin(self, live: LiveRun) -> None:
        """Take a run that begins."""
        self._in_loop(self._run_begins, live)

    def end(self, live: LiveRun) -> None:
        """Take the end of a run, or that it was cancelled."""
        self._in_loop(self._run_ends, live)

    def line(self, live: LiveRun, stream: str, line: bytes) -> None:
        """Take a line that a task wrote."""
        self._in_loop(self._run_writes, live, stream, line)

    def _run_begins(self, live: LiveRun) -> None:
        seen = SeenRun(live)
        self._runs[seen.id] = seen
        self._by_job.setdefault(seen.started_job, JobRuns()).running += 1
        if len(self._runs) > _MOST_RUNS:
            ended = (key for key, run in self._runs.items() if run.ended_at is not None)
            if (oldest := next(ended, None)) is not None:
                del self._runs[oldest]
        self.stream.add("run", seen.row())
        self._note(job_id=seen.started_job)

    def event(self, live: LiveRun, event: TraceEvent) -> None:
        """Take a decision that concerns a run, before `decision` gets it too."""
        self._taken = event
        self._in_loop(self._run_event, live, event)

    def decision(self, event: TraceEvent) -> None:
        """Take a decision of the agent, from any thread."""
        if event is not self._taken and event.kind != "record":
            self._in_loop(self._agent_event, event)

    def _run_writes(self, live: LiveRun, stream: str, line: bytes) -> None:
        if seen := self._runs.get(live.run.run_id):
            if shown := seen.line(stream, line):
                self._add_record(seen.id, shown)
            self._note(seen)

    def message(self, message: Message) -> None:
        """Take a message that the broker carried."""
        seen = self._runs.get(message.run_id or "")
        if message.topic != KEEPER_LOGGER:
            shown = shown_message(message)
            self._kept.add("message", message.run_id, self.stream.add("message", shown))
            if seen:
                seen.messages += 1
        else:
            record = Record.from_payload(message.payload)
            if seen is None:
                self._add_record(None, shown_record(record, message.job_id or "", None))
            elif found := seen.record(record):
                self._add_record(seen.id, found)
        self._note(seen)

    def _run_ends(self, live: LiveRun) -> None:
        seen = self._runs.get(live.run.run_id)
        if seen is None or seen.ended_at is not None:
            return
        for shown in seen.end(live.run):
            self._add_record(seen.id, shown)
        jobs = self._by_job[seen.started_job]
        jobs.running -= 1
        jobs.last = seen.outcome()
        for entry in self._attention.end(live.run, seen):
            self.stream.add("attention", entry)
        self._note(seen, job_id=seen.started_job)

    def state(self) -> dict[str, Any]:
        """Return all that a page begins with; events after `lastId` go on from there."""
        self._tell()
        sources = self._sources
        first = self._kept.last("record", most=_FIRST_RECORDS)
        return {
            "agent": sources.agent(self._began),
            "commands": sources.commands(),
            "jobs": self._jobs(),
            "jobsTotal": len(sources.jobs.all()),
            "runs": [seen.row() for seen in reversed(self._runs.values())],
            "records": [json.loads(data) for data in first],
            "oldestRecord": self._kept.fallen,
            "attention": self._attention.entries(),
            "faults": self._faults,
            "faultKinds": FAULT_KINDS,
            "lastId": self.stream.last_id,
        }

    def run(self, run_id: str) -> dict[str, Any] | None:
        """Return the details of a run, None for one that is not known or not kept."""
        seen = self._runs.get(run_id)
        if seen is None:
            return None
        found = (self._kept.last(kind, run_id) for kind in ("record", "message"))
        records, messages = ([json.loads(data) for data in kept] for kept in found)
        return seen.details(records, messages)

    def settings(self) -> list[dict[str, Any]]:
        """Return the settings, each with its layer and the run that read it last."""
        return self._sources.settings_table(self._settings_seen)

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults as they are now, and tell the pages."""
        self._tell()
        return self._faults

    def _jobs(self) -> list[dict[str, Any]]:
        sources = self._sources
        stored = {str(job.get("id")): job for job in sources.jobs.all()}
        tried = {run.started_job: run.job for run in self._runs.values()}
        return [
            sources.job(job, self._by_job.get(job_id), stored=job_id in stored)
            for job_id, job in islice({**tried, **stored}.items(), _MOST_JOBS)
        ]

    def _run_event(self, live: LiveRun, event: TraceEvent) -> None:
        seen = self._runs.get(live.run.run_id)
        if seen is None or event.kind == "record":
            return
        seen.event(event)
        self._note(seen)
        self._agent_event(event, seen)

    def _agent_event(self, event: TraceEvent, seen: SeenRun | None = None) -> None:
        if entry := self._attention.event(event, seen):
            self.stream.add("attention", entry)
        if event.kind == "api" and seen and event.facts.get("status") == HTTPStatus.OK:
            self._note_settings(str(event.facts.get("path")), seen)
        if event.action in _JOBS_CHANGED and event.kind == "job":
            self._all_jobs = True
        self._note()

    def _note_settings(self, path: str, seen: SeenRun) -> None:
        name = settings_name(path)
        if name is None:
            return
        name = name.casefold()  # as it is looked up
        if name in self._settings_seen or len(self._settings_seen) < _MOST_NAMES:
            self._settings_seen[name] = {"runId": seen.id, "at": iso(time.time())}

    def _add_record(self, run_id: str | None, shown: dict[str, Any]) -> None:
        data = self.stream.add("record", {"id": next(self._numbers), **shown})
        self._kept.add("record", run_id, data)

    def _note(self, seen: SeenRun | None = None, *, job_id: str = "") -> None:
        """Tell the pages, with the next write, what has changed."""
        if seen:
            self._changed[seen.id] = seen
        if job_id:
            self._changed_jobs.add(job_id)
        if self._timer is None:
            self._timer = self._loop.call_later(WRITE_SECONDS, self._tell)

    def _tell(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        changed, self._changed = self._changed, {}
        for seen in changed.values():
            self.stream.add("run", seen.row())
        jobs, self._changed_jobs = self._changed_jobs, set()
        if self._all_jobs:
            self._all_jobs = False
            self.stream.add("jobs", self._jobs())
        else:
            for job_id in jobs:
                self._tell_job(job_id)
        if (faults := shown_faults(self._sources.faults)) != self._faults:
            self._faults = faults
            self.stream.add("faults", faults)

    def _tell_job(self, job_id: str) -> None:
        jobs = self._sources.jobs
        stored = job_id in jobs
        runs = (run.job for run in reversed(self._runs.values()) if run.started_job == job_id)
        job = jobs.get(job_id) if stored else next(runs, None)
        if job is not None:
            shown = self._sources.job(job, self._by_job.get(job_id), stored=stored)
            self.stream.add("job", shown)

    def _in_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        if threading.get_ident() == self._thread:
            _safely(function, *arguments)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_safely, function, *arguments)


def _safely(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function; a defect of the console must not stop the agent that it watches."""
    try:
        function(*arguments)
    except Exception:
        logging.getLogger(__name__).exception("the console has missed something")
