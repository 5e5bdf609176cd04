"""Follow a run while it goes on: its process, its records, what the agent decides about it."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.record import Record
from epm_task.simulator.jobs.run import Run, RunRequest
from epm_task.simulator.processes.tree import ancestor_among

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.simulator.processes.process import TaskProcess
    from epm_task.simulator.trace import TraceEvent

#: Records kept of one run, about 50 MB; the KeeperLogger file has them all.
_MOST_RECORDS: Final = 100_000

#: How long the broker may take to read what an ended process has sent.
_LAST_WORDS_SECONDS: Final = 1.0


class LiveRun:
    """A run that goes on; without *keep* only what was refused is kept of it."""

    def __init__(
        self, job: Mapping[str, Any], request: RunRequest | None = None, *, keep: bool = True
    ) -> None:
        self.job: Final = job
        self.request: Final = request or RunRequest()
        self.run: Final = Run(uuid.uuid4().hex, str(job.get("id", "")), self.request.trigger)
        self.process: TaskProcess | None = None
        self._keep = keep
        self._began: dict[int, float] = {}
        self._known: set[tuple[str, int]] = set()
        self._clients: set[object] = set()
        self._no_client = asyncio.Event()
        self._no_client.set()
        self._too_early: list[TraceEvent] = []

    def started(self, process: TaskProcess) -> None:
        """Take the process of the run's next task."""
        self.process = process
        # Not the process's own start time, which the kernel rounds to whole seconds of the boot.
        self._began[process.pid] = time.time()

    def line(self, stream: str, line: bytes) -> None:
        """Take a line that the process wrote."""
        if stream == "stderr" and (record := Record.from_line(line)):
            self._add(record)
        if self.request.on_line:
            self.request.on_line(stream, line)

    def record(self, record: Record) -> None:
        """Take a record that the broker accepted."""
        self.run.acknowledged += 1
        self._add(record)

    def event(self, event: TraceEvent) -> None:
        """Take a decision of the agent, when it concerns this run."""
        if not self._concerns(event):
            return
        if self._keep:
            self.run.trace.append(event)
        if event.action == "disconnected":
            self._clients.discard(event.facts.get("client_id"))
        elif event.action == "connected":
            self._clients.add(event.facts.get("client_id"))
        (self._no_client.clear if self._clients else self._no_client.set)()
        if event.denied:
            self.run.denials.append(event)
        if event.facts.get("tier") == "Plugin" and event.facts.get("pid") in self._began:
            self._note_request(event)

    async def end(self) -> None:
        """Wait until the broker has read what the ended process has sent, and sort what was seen.

        A 403 before the registration is a denial only when the registration never came; a record
        on stderr may have come before older ones over the broker.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._no_client.wait()
        run = self.run
        if run.registration.seconds is not None:
            run.denials[:] = [event for event in run.denials if event not in self._too_early]
        one_process = len({record.run_id for record in run.records}) == 1
        if one_process and all(record.seq is not None for record in run.records):
            run.records.sort(key=lambda record: record.seq or 0)

    def _note_request(self, event: TraceEvent) -> None:
        registration = self.run.registration
        if registration.seconds is not None:
            return
        registration.tries += 1
        if event.facts.get("status") == 200:
            began = self._began[int(str(event.facts["pid"]))]
            registration.seconds = max(0.0, event.at - began)
        elif event.denied:
            self._too_early.append(event)

    def _concerns(self, event: TraceEvent) -> bool:
        pid = event.facts.get("pid")
        if event.facts.get("job_id") == self.run.job_id:
            return True
        if not isinstance(pid, int):
            return False
        if pid in self._began:
            return True
        # A child of the task, which is refused because trust is exact: worth a look, it is rare.
        return event.denied and ancestor_among(pid, self._began.keys()) is not None

    def _add(self, record: Record) -> None:
        if not self._keep or len(self.run.records) >= _MOST_RECORDS:
            return
        if record.identity:
            if record.identity in self._known:
                return
            self._known.add(record.identity)
        self.run.records.append(record)
        if self.request.on_record:
            self.request.on_record(record)
