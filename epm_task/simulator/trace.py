"""Keep the agent's last decisions, each with its reason.

A task cannot see why it was refused: a denied message vanishes, a denied request is a bare 403. The
trace holds the reason.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from functools import partial
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from epm_task.runtime.log.encoder import Secrets
from epm_task.simulator.start_error import FileUnwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

#: Part of the agent that decided.
Kind = Literal["api", "fault", "file", "job", "mqtt", "plugin", "record", "scheduler", "settings"]

_Connection = Literal["answered", "refused", "connected", "disconnected", "closed"]
_Message = Literal["published", "subscribed", "dropped", "logged"]
_Run = Literal[
    "run_started", "started", "redirected", "skipped", "stopped", "failed", "assumed", "never_due"
]
_Value = Literal["unused", "merge_refused"]
_Process = Literal["not_started", "process_started", "process_ended", "timed_out", "left_behind"]
_File = Literal["saved", "deleted", "reverted", "loaded", "not_loaded", "not_written"]

#: What was decided, for code; the sentence in `what` is for people. A request is `answered` when it
#: was refused too: see `denied`. `assumed` is where the agent knows less than the vendor's.
Action = _Connection | _Message | _Run | _Value | _Process | _File | Literal["fault"]

#: Enough for a test run of hundreds of tasks, about 10 MB at most.
_KEPT: Final = 10_000


class TraceEvent(NamedTuple):
    """One decision."""

    at: float  #: When, in seconds since the epoch.
    kind: Kind  #: Part of the agent that decided.
    action: Action  #: What was decided.
    what: str  #: One plain sentence for people.
    denied: bool = False  #: Whether something was refused.
    reason: str = ""  #: Why; empty when nothing needs a reason.
    facts: Mapping[str, object] = MappingProxyType({})  #: Details that can be written as JSON.

    def document(self) -> dict[str, object]:
        """Return the event as one flat mapping, for a line of JSON."""
        return self._asdict()

    def __str__(self) -> str:
        """Return the sentence with its reason."""
        return f"{self.what}: {self.reason}" if self.reason else self.what


class Trace:
    """The last decisions; may be read from any thread."""

    def __init__(self, *, kept: int = _KEPT) -> None:
        self._events: deque[TraceEvent] = deque(maxlen=kept)
        self._added = 0
        self._listeners: list[Callable[[TraceEvent], None]] = []
        self._lock = Lock()
        #: What no file of the agent's decisions and messages shows, whatever its name.
        self.secrets: Final = Secrets()

    def add(
        self,
        kind: Kind,
        action: Action,
        what: str,
        *,
        denied: bool = False,
        reason: str = "",
        **facts: object,
    ) -> TraceEvent:
        """Remember one decision, then tell the listeners in the caller's thread."""
        event = TraceEvent(time.time(), kind, action, what, denied, reason, facts)
        with self._lock:
            self._events.append(event)
            self._added += 1
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(event)
        return event

    def subscribe(self, callback: Callable[[TraceEvent], None]) -> Callable[[], None]:
        """Call *callback* with every further event; return the call that ends this."""
        with self._lock:
            self._listeners.append(callback)

        def _unsubscribe() -> None:
            with self._lock:
                if callback in self._listeners:
                    self._listeners.remove(callback)

        return _unsubscribe

    @property
    def denials(self) -> list[TraceEvent]:
        """The events in which something was refused."""
        return [event for event in self if event.denied]

    def mark(self) -> int:
        """Return the present place, for `since`."""
        return self._added

    def since(self, mark: int) -> list[TraceEvent]:
        """Return the events added after *mark*, as far as they are still remembered."""
        with self._lock:
            new = self._added - mark
            return list(self._events)[-new:] if new > 0 else []

    def __iter__(self) -> Iterator[TraceEvent]:
        """Iterate over a copy, so that events may be added meanwhile."""
        with self._lock:
            return iter(list(self._events))

    def __len__(self) -> int:
        return len(self._events)


class LineFile:
    """Write lines of JSON to *path*, which only its owner can read.

    After a line that finds no room nothing more is written, and *trace* tells it once: the agent
    works without somebody who reads along.

    Args:
        path: The file.
        trace: Where a failure is told.
        mode: `ab`, or `wb` to replace what is there.

    Raises:
        FileUnwritable: It cannot be opened.
    """

    def __init__(self, path: Path, trace: Trace, mode: Literal["ab", "wb"]) -> None:
        try:
            # Without a buffer, so that a line which found no room is not tried again by `close`.
            self._file = open(  # noqa: SIM115  # closed by `close`
                path, mode, buffering=0, opener=partial(os.open, mode=0o600)
            )
        except OSError as error:
            raise FileUnwritable(path, error) from error
        self._path = path
        self._trace = trace
        self._failed = False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def write(self, document: Mapping[str, object]) -> None:
        """Write one line, unless an earlier one has failed."""
        if self._failed:
            return
        text = self._trace.secrets.hide_json(json.dumps(document, ensure_ascii=False, default=str))
        line = f"{text}\n".encode("utf-8", "backslashreplace")
        try:
            whole = self._file.write(line) == len(line)
            why = "there was no room for a whole line"
        except OSError as error:
            whole, why = False, error.strerror or str(error)
        if not whole:
            self._failed = True
            what = f"{self._path} is written no longer"
            self._trace.add("file", "not_written", what, reason=why)
