"""A run observer collects what the agent sees of one run: records, denials, registration."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from epm_task.contract.record import Record
from epm_task.simulator.processes.tree import ancestor_among

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.processes.process import TaskProcess
    from epm_task.simulator.trace import TraceEvent

#: Records kept of one run, about 50 MB; the rest stands in the KeeperLogger file only.
_MOST_RECORDS: Final = 100_000

#: How long the broker may take to read what an ended process has sent.
_LAST_WORDS_SECONDS: Final = 1.0


@dataclass(slots=True)
class Registration:
    """How a process came to its Plugin tier.

    Attributes:
        tries: Requests to the Plugin Settings API up to the first that was served.
        seconds: From the start of the process to that request; None when none was served.
    """

    tries: int = 0
    seconds: float | None = None


class RunObserver:
    """What the agent sees of one run.

    Args:
        job_id: The job.
        keep: Whether records and events are kept; else only denials are.
        on_line: Called with `stdout` or `stderr` and each line.
        on_record: Called with each record once, as it comes.
    """

    def __init__(
        self,
        job_id: str,
        *,
        keep: bool = True,
        on_line: Callable[[str, bytes], None] | None = None,
        on_record: Callable[[Record], None] | None = None,
    ) -> None:
        """Nothing was seen yet."""
        self._job_id = job_id
        self._keep = keep
        self._on_line = on_line
        self._on_record = on_record
        self._began: dict[int, float] = {}
        self._known: set[tuple[str, int]] = set()
        self._clients: set[object] = set()
        self._gone = asyncio.Event()
        self._gone.set()
        self._too_early: list[TraceEvent] = []
        self.process: TaskProcess | None = None
        self.registration = Registration()
        self.records: list[Record] = []
        self.acknowledged = 0
        self.events: list[TraceEvent] = []
        self._denials: list[TraceEvent] = []

    @property
    def denials(self) -> list[TraceEvent]:
        """What was refused; a 403 before the registration counts only when none came."""
        early = self._too_early if self.registration.seconds is None else []
        return sorted([*early, *self._denials], key=lambda event: event.at)

    def started(self, process: TaskProcess) -> None:
        """Take the process of the run's next task."""
        self.process = process
        # Not the process's own start time, which the kernel rounds to whole seconds of the boot.
        self._began[process.pid] = time.time()

    def line(self, stream: str, line: bytes) -> None:
        """Take a line that the process wrote."""
        if stream == "stderr" and (record := Record.from_line(line)):
            self._add(record)
        if self._on_line:
            self._on_line(stream, line)

    def record(self, record: Record) -> None:
        """Take a record that the broker accepted."""
        self.acknowledged += 1
        self._add(record)

    def event(self, event: TraceEvent) -> None:
        """Take a decision of the agent, when it concerns this run."""
        if not self._concerns(event):
            return
        if self._keep:
            self.events.append(event)
        if event.kind == "mqtt":
            self._note_client(event)
        if event.facts.get("tier") == "Plugin" and event.facts.get("pid") in self._began:
            self._note_request(event)
        elif event.denied:
            self._denials.append(event)

    async def last_words(self) -> None:
        """Wait until the broker has read what the ended process has sent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._gone.wait()

    def _note_client(self, event: TraceEvent) -> None:
        if event.action == "disconnected":
            self._clients.discard(event.facts.get("client_id"))
        elif event.action == "connected":
            self._clients.add(event.facts.get("client_id"))
        (self._gone.clear if self._clients else self._gone.set)()

    def _note_request(self, event: TraceEvent) -> None:
        if self.registration.seconds is None:
            self.registration.tries += 1
            began = self._began[int(str(event.facts["pid"]))]
            if event.facts.get("status") == 200:
                self.registration.seconds = max(0.0, event.at - began)
            elif event.denied:
                self._too_early.append(event)
        elif event.denied:
            self._denials.append(event)

    def _concerns(self, event: TraceEvent) -> bool:
        pid = event.facts.get("pid")
        if event.facts.get("job_id") == self._job_id:
            return True
        if not isinstance(pid, int):
            return False
        if pid in self._began:
            return True
        # A child of the task, which is refused because trust is exact: worth a look, it is rare.
        return event.denied and ancestor_among(pid, self._began.keys()) is not None

    def _add(self, record: Record) -> None:
        if not self._keep or len(self.records) >= _MOST_RECORDS:
            return
        if record.identity:
            if record.identity in self._known:
                return
            self._known.add(record.identity)
        self.records.append(record)
        if self._on_record:
            self._on_record(record)
